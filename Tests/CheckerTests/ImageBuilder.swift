import Format
import Testing

@testable import Checker

/// A formatted image in memory, and directory trees in it, made by the transactions that repairs use too.
final class ImageBuilder {
  let superblock: Superblock
  let image: Overlay
  /// Blocks that tests hold.
  var kept: [PageBuffer] = []

  /// An empty filesystem of `blocks` blocks.
  init(blocks: UInt64 = 16_384) throws {
    superblock = Superblock(
      uuid: Array(1...16), nonce: Nonce(high: 5, low: 6), label: Array("test".utf8),
      geometry: try .fitting(blockCount: blocks), created: 1_000_000_000, hashKey: (7, 8))
    let image = Overlay(over: EmptyBlocks(blockCount: blocks))
    self.image = image
    try Formatter(superblock).emit(owner: (0, 0)) { (block, bytes, _) throws(BlockFailure) in
      try image.write(bytes, at: block)
    }
  }

  /// An overlay over the image of another builder, which stays unchanged.
  init(over other: ImageBuilder) {
    superblock = other.superblock
    image = Overlay(over: other.image)
  }

  /// Changes the image in one transaction.
  func change(_ body: (Transaction) throws -> Void) throws {
    let check = try Checker.run(image, options: CheckOptions())
    let transaction = Transaction(check, writer: image, time: 2_000_000_000)
    try body(transaction)
    try transaction.commit()
  }

  /// The findings of a check.
  func findings() throws -> [Finding] { try Checker.check(image).findings }

  func pack() throws -> CheckpointPack { try Image(image).pack }

  /// Changes raw blocks and leaves their checksums as they are.
  func overwrite(_ block: UInt64, _ body: (Page) -> Void) throws {
    let buffer = PageBuffer()
    _ = image.read(block: block, count: 1, into: buffer.page.base)
    body(buffer.page)
    try image.write(UnsafeRawBufferPointer(start: buffer.page.base, count: Page.size), at: block)
  }

  /// Changes the newest checkpoint's pack under a right checksum, in both copies.
  func changePack(_ body: (inout CheckpointPack) -> Void) throws {
    var pack = try pack()
    body(&pack)
    let geometry = superblock.geometry
    var bytes = [UInt8](repeating: 0, count: Int(geometry.packBlocks) * Page.size)
    bytes.withUnsafeMutableBytes { pack.encode(into: $0, geometry: geometry, nonce: superblock.nonce) }
    for copy in 0...1 {
      try bytes.withUnsafeBytes {
        try image.write($0, at: geometry.packBlock(slot: Int(pack.sequence & 1), copy: copy))
      }
    }
  }

  /// The names in a directory.
  func names(in directory: UInt64) throws -> Set<String> {
    var names: Set<String> = []
    try change { transaction in
      names = Set(
        try transaction.records(of: directory).records.map { String(decoding: $0.name, as: UTF8.self) })
    }
    return names
  }

  /// The address of an inode or internal node.
  func address(_ kind: OwnerKind, _ number: UInt64) throws -> UInt64 {
    let check = try Checker.run(image, options: CheckOptions())
    let entry = kind == .inode ? check.inodeLeaves.entry(number) : check.nodeLeaves.entry(number)
    return try #require(entry).address
  }
}

extension Transaction {
  /// A new file with these blocks, without a name yet.
  func makeFile(blocks: [[UInt8]]) throws -> Inode {
    let inode = try makeInode(mode: 0o100644)
    inode.links = 1
    inode.size = UInt64(blocks.count) * UInt64(Page.size)
    inode.blocks = UInt64(blocks.count)
    let entries = try blocks.enumerated().map { index, bytes in
      let buffer = PageBuffer()
      bytes.withUnsafeBytes { buffer.page.copy($0, at: 0) }
      return try putData(inode.id, index: UInt64(index), buffer.page)
    }
    if entries.count <= Inode.directEntries {
      inode.layout = .direct
      inode.inlineLength = Inode.directEntries * Entry.size
      for (index, entry) in entries.enumerated() { entry.store(inode.page, at: inode.directOffset(index)) }
      return inode
    }
    inode.layout = .tree
    inode.height = entries.count <= Entry.perBlock ? 1 : 2
    inode.root = try mapNode(entries[...], height: inode.height)
    return inode
  }

  private func mapNode(_ entries: ArraySlice<Entry>, height: Int) throws -> UInt64 {
    let (number, page) = try makeNode()
    if height == 1 {
      for (index, entry) in entries.enumerated() { entry.store(page, at: index * Entry.size) }
      return number
    }
    for (index, start) in stride(from: entries.startIndex, to: entries.endIndex, by: Entry.perBlock)
      .enumerated()
    {
      let child = try mapNode(
        entries[start..<min(start + Entry.perBlock, entries.endIndex)], height: height - 1)
      Entry(address: child).store(page, at: index * Entry.size)
    }
    return number
  }

  /// A new directory with this parent, without a name yet.
  func makeDirectory(in parent: NodeID) throws -> Inode {
    let inode = try makeInode(mode: 0o040755)
    inode.links = 2
    inode.parent = parent.raw
    try self.inode(parent.number).links += 1
    return inode
  }

  /// Adds names to a directory.
  func name(_ inodes: [(String, Inode)], in directory: NodeID) throws {
    let added = inodes.map { name, inode in
      NewRecord(name: Array(name.utf8), node: inode.id, type: UInt8(inode.mode >> 12 & 0xF))
    }
    try changeNames(of: directory.number) { $0 += added }
  }

  /// Changes a directory's records; its counts follow.
  func changeNames(of directory: UInt64, _ body: (inout [NewRecord]) -> Void) throws {
    var (records, nodes) = try records(of: directory)
    body(&records)
    try store(records, in: directory, insteadOf: nodes)
  }
}

extension Array where Element == Finding {
  var kinds: Set<Finding.Kind> { Set(map(\.kind)) }
  /// What to print when an expectation fails.
  var text: String { map { "\($0.kind): \($0)" }.joined(separator: "\n") }
}
