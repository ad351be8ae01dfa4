import Format
import TestSupport
import Testing

@Suite("A new filesystem")
struct FormatterTests {
  /// Everything the formatter writes, by block.
  private static func blocks(_ superblock: Superblock) -> (content: [UInt64: [UInt8]], order: [Bool]) {
    var content: [UInt64: [UInt8]] = [:]
    var order: [Bool] = []
    Formatter(superblock).emit(owner: (1000, 100)) { (block, bytes, isSuperblock) in
      order.append(isSuperblock)
      for index in 0..<bytes.count / Page.size {
        content[block + UInt64(index)] = Array(bytes[index * Page.size..<(index + 1) * Page.size])
      }
    }
    return (content, order)
  }

  @Test(
    "Every reference leads to a block with the checksum it names",
    arguments: [9000, 1 << 14, 1 << 22, 1 << 32])
  func references(size: UInt64) throws {
    let superblock = Superblock(
      uuid: [1, 2], nonce: Nonce(high: 1, low: 2), label: Array("data".utf8),
      geometry: try .fitting(blockCount: size), created: 5, hashKey: (8, 9))
    let (content, order) = Self.blocks(superblock)
    #expect(order == order.filter { !$0 } + [true, true], "superblocks come last")
    let geometry = superblock.geometry
    let sum = Checksum(nonce: superblock.nonce)
    for copy in 0...1 {
      var bytes = (0..<geometry.packBlocks).flatMap {
        content[geometry.packBlock(slot: 1, copy: copy) + $0] ?? []
      }
      let pack = try #require(
        bytes.withUnsafeMutableBytes {
          CheckpointPack(decoding: $0, geometry: geometry, nonce: superblock.nonce)
        })
      #expect(pack.isClean && pack.sequence == 1)
      for (index, selection) in pack.usage.enumerated() {
        let block = try #require(content[geometry.usageBlock(UInt32(index), copy: selection.copy)])
        #expect(block.raw { sum.of($0) } == selection.checksum)
      }
      let leaf = Block(try #require(content[pack.inodes.address]))
      #expect(sum.of(leaf.page) == pack.inodes.checksum)
      for number in 1...2 {
        let entry = Entry(leaf.page, at: number * Entry.size)
        let node = Block(try #require(content[entry.address]))
        #expect(sum.of(node.page) == entry.checksum)
        #expect(Inode(node.page).isValid(number: UInt64(number)) && Inode(node.page).isDirectory)
      }
    }
    for block in [0, size - 1] {
      #expect(try Superblock(decoding: Block(try #require(content[block])).page) == superblock)
    }
  }
}
