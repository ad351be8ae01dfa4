import Format
import TestSupport
import Testing

/// Views never access memory outside of their block, whatever it holds: each is walked as the filesystem
/// would walk it.
@Suite("Hostile blocks never trap")
struct HostileTests {
  private static let nonce = Nonce(high: 1, low: 2)

  /// A random block, but with the magic number and small counts in place.
  private static func block(_ random: inout SplitMix, magic: UInt32) -> Block {
    let block = Block(random.bytes(Page.size))
    if Bool.random(using: &random) {
      for at in stride(from: 0, to: Page.size, by: 8) where Bool.random(using: &random) {
        block.page.store(UInt64.random(in: 0...300, using: &random), at: at)
      }
    }
    block.page.store(magic, at: 0)
    return block
  }

  private func walk(_ entries: DirectoryEntries) {
    _ = entries.isValid
    var offset = entries.start
    while let record = entries.record(at: offset) {
      #expect(record.offset + record.length <= Page.size)
      offset += record.length
    }
    _ = entries.freeKey(hash: 1)
    _ = [UInt8(1)].raw { entries.find($0, hash: (1 << 48) - 1) }
  }

  @Test("Inodes", arguments: 0..<4)
  func inodes(seed: UInt64) {
    var random = SplitMix(seed: 60 + seed)
    for _ in 0..<200 {
      let block = Self.block(&random, magic: Inode.magic)
      let inode = Inode(block.page)
      if Bool.random(using: &random) { inode.mode = 0o040755 }
      if Bool.random(using: &random) { inode.inlineLength = .random(in: 0...65535, using: &random) }
      if Bool.random(using: &random) { inode.attributeLength = .random(in: 0...65535, using: &random) }
      inode.layout = .inline
      inode.height = 0
      _ = inode.isValid(number: inode.number)
      _ = inode.inlineRoom
      walk(DirectoryEntries(inode))
      _ = AttributeEntries(inode).isValid
      AttributeEntries(inode).forEach { #expect($0.offset + $0.length <= Page.size) }
    }
  }

  @Test("Directory and attribute nodes", arguments: 0..<4)
  func nodes(seed: UInt64) {
    var random = SplitMix(seed: 70 + seed)
    for _ in 0..<200 {
      let leaf = DirectoryLeaf(Self.block(&random, magic: DirectoryLeaf.magic).page)
      _ = leaf.isValid
      walk(DirectoryEntries(leaf))
      let index = DirectoryIndex(Self.block(&random, magic: DirectoryIndex.magic).page)
      _ = index.isValid
      for slot in 0..<DirectoryIndex.slots { #expect(index.range(of: slot).contains(slot)) }
      let attributes = AttributeNode(Self.block(&random, magic: AttributeNode.magic).page)
      _ = attributes.isValid
      AttributeEntries(attributes).forEach { #expect($0.offset + $0.length <= Page.size) }
    }
  }

  @Test("Superblocks, packs and log headers whose checksums are right", arguments: 0..<4)
  func sealed(seed: UInt64) throws {
    var random = SplitMix(seed: 80 + seed)
    let geometry = try Geometry.fitting(blockCount: 1 << 14)
    for _ in 0..<100 {
      let superblock = Self.block(&random, magic: 0)
      superblock.page.store(Superblock.magic, at: 0)
      superblock.page.store(Superblock.version, at: 8)
      superblock.page.store(UInt64(0), at: 152)
      Self.seal(superblock, at: 4092, with: .unseeded)
      _ = try? Superblock(decoding: superblock.page)

      let pack = Self.block(&random, magic: 0)
      pack.page.store(CheckpointPack.magic, at: 0)
      Self.store(Self.nonce, in: pack, at: 16)
      pack.page.store(geometry.usageBlocks, at: 160)
      Self.seal(pack, at: 188, with: Checksum(nonce: Self.nonce))
      let bytes = UnsafeMutableRawBufferPointer(start: pack.page.base, count: Page.size)
      _ = CheckpointPack(decoding: bytes, geometry: geometry, nonce: Self.nonce)

      let header = Self.block(&random, magic: 0)
      header.page.store(LogHeader.magic, at: 0)
      Self.store(Self.nonce, in: header, at: 8)
      header.page.store(UInt64(99), LogHeader.fields.address)
      header.page.store(UInt8.random(in: 1...3, using: &random), LogHeader.fields.head)
      if Bool.random(using: &random) {
        for at in [66, 68, 70, 72] { header.page.store(UInt16.random(in: 0...100, using: &random), at: at) }
      }
      Self.seal(header, at: LogHeader.fields.checksum.offset, with: Checksum(nonce: Self.nonce))
      _ = LogHeader(
        decoding: header.page, address: 99, nonce: Self.nonce, checksum: Checksum(nonce: Self.nonce))
    }
  }

  private static func store(_ nonce: Nonce, in block: Block, at offset: Int) {
    block.page.store(nonce.high, at: offset)
    block.page.store(nonce.low, at: offset + 8)
  }

  private static func seal(_ block: Block, at offset: Int, with checksum: Checksum) {
    block.page.store(checksum.of(block.page.bytes(at: 0, count: Page.size), except: offset), at: offset)
  }
}
