import Checker
import Format

extension DiskImage {
  /// The image with neither copy of the newest checkpoint readable; nil when that was the only checkpoint.
  public func withoutNewestCheckpoint() -> DiskImage? {
    guard let found = try? Image(ImageReader(self)) else { return nil }
    var image = self
    for copy in 0...1 {
      let first = found.superblock.geometry.packBlock(slot: Int(found.pack.sequence & 1), copy: copy)
      for block in first..<first + found.superblock.geometry.packBlocks { image.unreadable.insert(block) }
    }
    return (try? Image(ImageReader(image))) == nil ? nil : image
  }

  /// Whether the next checkpoint was being written over the one that a mount would use: a block of that one's
  /// usage table has changed. Usage blocks are written before the pack, to the copies that the checkpoint
  /// before the last uses.
  var isCheckpointWrittenOver: Bool {
    guard let found = try? Image(ImageReader(self)) else { return true }
    let geometry = found.superblock.geometry
    let checksum = Checksum(nonce: found.superblock.nonce)
    return found.pack.usage.enumerated().contains { index, selection in
      let block = geometry.usageBlock(UInt32(index), copy: selection.copy)
      return bytes(block).map { checksum.of(Page(UnsafeMutableRawPointer(mutating: $0))) }
        != selection.checksum
    }
  }
}
