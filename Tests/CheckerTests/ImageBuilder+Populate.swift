import Format
import TestSupport

@testable import Checker

extension ImageBuilder {
  /// Numbers of what `populate` makes.
  struct Tree {
    var small: UInt64 = 0
    var medium: UInt64 = 0
    var large: UInt64 = 0
    var orphan: UInt64 = 0
    var directory: UInt64 = 0
    var inner: UInt64 = 0
    var crowded: UInt64 = 0
    /// Has attributes in nodes below an index, and one with value nodes.
    var described: UInt64 = 0
  }

  /// Made once, and only read afterwards.
  nonisolated(unsafe) private static let shared: Result<(ImageBuilder, Tree), any Error> = Result {
    let builder = try ImageBuilder()
    return (builder, try builder.populate())
  }

  /// An image with a tree in it, for a test to change.
  static func populated() throws -> (ImageBuilder, Tree) {
    let (builder, tree) = try shared.get()
    return (ImageBuilder(over: builder), tree)
  }

  /// A tree with every layout: a small file, one with direct entries, two with map trees, a directory of 200
  /// names.
  @discardableResult
  func populate() throws -> Tree {
    var random = SplitMix(seed: 1)
    var tree = Tree()
    try change { transaction in
      let small = try transaction.makeInode(mode: 0o100600)
      small.links = 2
      small.inlineLength = 5
      small.size = 5
      Self.addAttribute(small)
      let direct = try transaction.makeFile(blocks: [random.bytes(4096), random.bytes(4096)])
      let medium = try transaction.makeFile(blocks: (0..<140).map { _ in random.bytes(64) })
      let large = try transaction.makeFile(blocks: (0..<300).map { _ in random.bytes(64) })
      try Self.addAttributeNode(large, transaction)
      let directory = try transaction.makeDirectory(in: .root)
      let inner = try transaction.makeDirectory(in: directory.id)
      let crowded = try transaction.makeDirectory(in: .root)
      let crowd = try (0..<200).map { index in
        let file = try transaction.makeInode(mode: 0o100644)
        file.links = 1
        return ("file with a longer name, number \(index)", file)
      }
      try transaction.name(crowd, in: crowded.id)
      try transaction.name([("inner", inner), ("small too", small), ("large", large)], in: directory.id)
      let described = try transaction.makeInode(mode: 0o100644)
      described.links = 1
      let values = (0..<120).map { NewAttribute(name: Array("user.\($0)".utf8), value: random.bytes(90)) }
      let long = NewAttribute(name: Array("user.long".utf8), value: random.bytes(9000))
      try transaction.store(values + [long], of: described.number)
      let symlink = try transaction.makeInode(mode: 0o120777)
      symlink.links = 1
      symlink.layout = .node
      symlink.root = try transaction.makeNode().number
      symlink.size = 4095
      try transaction.name(
        [
          ("small", small), ("direct", direct), ("medium", medium), ("directory", directory),
          ("crowded", crowded), ("symlink", symlink),
          ("described", described),
        ], in: .root)
      let orphan = try transaction.makeInode(mode: 0o100644)
      try transaction.name(
        [(String(decoding: Check.orphanName(orphan.number), as: UTF8.self), orphan)], in: .orphans)
      tree = Tree(
        small: small.number, medium: medium.number, large: large.number, orphan: orphan.number,
        directory: directory.number, inner: inner.number, crowded: crowded.number, described: described.number
      )
    }
    return tree
  }

  private static func addAttribute(_ inode: Inode) {
    let name = Array("user.colour".utf8)
    let value = Array("blue".utf8)
    name.withUnsafeBytes { name in
      value.withUnsafeBytes { AttributeEntries.insert(name: name, .inline, content: $0, into: inode) }
    }
  }

  private static func addAttributeNode(_ inode: Inode, _ transaction: Transaction) throws {
    let (number, page) = try transaction.makeNode()
    let node = AttributeNode(page)
    node.initialize(owner: inode.number)
    let value = [UInt8](repeating: 9, count: 2000)
    Array("user.large".utf8).withUnsafeBytes { name in
      value.withUnsafeBytes { AttributeEntries.insert(name: name, .inline, content: $0, into: node) }
    }
    inode.attributeNode = number
  }
}
