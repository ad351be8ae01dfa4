import Device
import Format
import ToolSupport

extension Fields {
  /// The superblock, and what follows from it.
  init(_ superblock: Superblock) {
    let geometry = superblock.geometry
    add("version", Superblock.version)
    add("uuid", Identity.text(ofUUID: superblock.uuid))
    let label = NameBytes(superblock.label)
    for member in label.members("label") { add(member.name, member.value) }
    add("created", superblock.created, timeText(superblock.created))
    let program = NameBytes(superblock.programVersion)
    for member in program.members("program_version") { add(member.name, member.value) }
    let bytes = geometry.blockCount * UInt64(Page.size)
    add("blocks", geometry.blockCount, "\(geometry.blockCount) (\(Size.text(bytes)))")
    let segment = UInt64(geometry.segmentBlocks) * UInt64(Page.size)
    add("segment_blocks", geometry.segmentBlocks, "\(geometry.segmentBlocks) (\(Size.text(segment)))")
    add("segments", geometry.segmentCount)
    add("first_segment_block", geometry.firstSegmentBlock)
    add("usage_blocks", geometry.usageBlocks)
    add("pack_blocks", geometry.packBlocks)
    add(
      "nonce",
      hexadecimal(superblock.nonce.high, digits: 16) + hexadecimal(superblock.nonce.low, digits: 16))
    add(
      "hash_key",
      hexadecimal(superblock.hashKey.0, digits: 16) + hexadecimal(superblock.hashKey.1, digits: 16))
    add(hexadecimal: superblock.incompatibleFeatures, "incompatible_features")
    add(hexadecimal: superblock.readOnlyFeatures, "read_only_features")
    add(hexadecimal: superblock.compatibleFeatures, "compatible_features")
  }
}
