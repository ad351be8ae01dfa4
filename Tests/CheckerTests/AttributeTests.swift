import Format
import TestSupport
import Testing

@testable import Checker

extension ImageBuilder {
  /// The index above an inode's attributes.
  fileprivate func attributeIndex(_ number: UInt64) throws -> (number: UInt64, index: DirectoryIndex) {
    let node = try inode(number).attributeNode & ~DirectoryIndex.referenceFlag
    return (node, DirectoryIndex(try self.node(node)))
  }

  /// The number of the first attribute node below the index, and its attributes.
  fileprivate func attributeNode(_ number: UInt64) throws -> UInt64 { try attributeIndex(number).index[0] }

  /// The value nodes of the attribute that has some.
  fileprivate func valueNodes(_ number: UInt64) throws -> [UInt64] {
    for entries in try attributeEntries(number) {
      if let found = entries.first(where: { $0.form == .apart }) { return found.valueNodes }
    }
    return []
  }

  /// The attributes in the inode and in each attribute node.
  fileprivate func attributeEntries(_ number: UInt64) throws -> [AttributeEntries] {
    let inode = try inode(number)
    guard inode.attributeNode & DirectoryIndex.referenceFlag != 0 else {
      let node = inode.attributeNode == 0 ? [] : [try node(inode.attributeNode)]
      return [AttributeEntries(inode)] + node.map { AttributeEntries(AttributeNode($0)) }
    }
    let index = try attributeIndex(number).index
    let references = Set((0..<DirectoryIndex.slots).map { index[$0] }).subtracting([0])
    return try [AttributeEntries(inode)] + references.map { AttributeEntries(AttributeNode(try node($0))) }
  }

  fileprivate func attributeNames(_ number: UInt64) throws -> Set<[UInt8]> {
    var names: Set<[UInt8]> = []
    for entries in try attributeEntries(number) { entries.forEach { names.insert(Array($0.name)) } }
    return names
  }
}

extension Corruption {
  /// Extended attributes.
  static let attributes: [Corruption] = [
    .block("a byte of an attribute index", [.node, .attributes], isMended: true) { builder, tree in
      try builder.address(.internalNode, try builder.attributeIndex(tree.described).number)
    },
    .block("a byte of an attribute node", [.node, .attributes], isMended: true) { builder, tree in
      try builder.address(.internalNode, try builder.attributeNode(tree.described))
    },
    .block("a byte of a value node", [.node, .attributes], isMended: true) { builder, tree in
      try builder.address(.internalNode, try builder.valueNodes(tree.described)[1])
    },
    Corruption("attributes where a lookup does not find them", [.attributes]) { builder, tree in
      let number = try builder.attributeIndex(tree.described).number
      try builder.change { transaction in
        let index = DirectoryIndex(try transaction.changeNode(number))
        let (first, last) = (index[0], index[255])
        for slot in index.range(of: 0) { index[slot] = last }
        for slot in index.range(of: 255) { index[slot] = first }
      }
    },
    Corruption("slots that no attribute node can cover", [.attributes]) { builder, tree in
      let number = try builder.attributeIndex(tree.described).number
      try builder.change { transaction in
        let index = DirectoryIndex(try transaction.changeNode(number))
        index[index.range(of: 0).upperBound - 1] = 0
      }
    },
    Corruption("an attribute node of another inode", [.attributes]) { builder, tree in
      let number = try builder.attributeNode(tree.described)
      try builder.change { AttributeNode(try $0.changeNode(number)).owner = 1 }
    },
    Corruption("an attribute twice", [.attributes]) { builder, tree in
      try builder.change { transaction in
        let inode = try transaction.inode(tree.small)
        guard let found = AttributeEntries(inode).first(where: { _ in true }) else { return }
        AttributeEntries.insert(name: found.name, .inline, content: found.content, into: inode)
      }
    },
    Corruption("a part of a value of another length", [.attributes]) { builder, tree in
      let number = try builder.valueNodes(tree.described)[0]
      try builder.change { AttributeValueNode(try $0.changeNode(number)).length -= 1 }
    },
    Corruption("an attribute with another's value", [.nodeReference, .attributes]) { builder, tree in
      let nodes = try builder.valueNodes(tree.described)
      try builder.change { transaction in
        let inode = try transaction.inode(tree.small)
        Array("user.stolen".utf8).withUnsafeBytes { name in
          AttributeEntries.reference(value: 9000, nodes: nodes).withUnsafeBytes {
            AttributeEntries.insert(name: name, .apart, content: $0, into: inode)
          }
        }
      }
    },
  ]
}

@Suite("Mended extended attributes")
struct AttributeTests {
  @Test("A damaged node loses its own attributes and no others")
  func keepsWhatIsReadable() throws {
    let (builder, tree) = try ImageBuilder.populated()
    let before = try builder.attributeNames(tree.described)
    #expect(before.count == 121)
    let node = try builder.attributeNode(tree.described)
    var lost: Set<[UInt8]> = []
    AttributeEntries(AttributeNode(try builder.node(node))).forEach { lost.insert(Array($0.name)) }
    try builder.overwrite(try builder.address(.internalNode, node)) { $0.store(UInt8(1), at: 100) }
    _ = try Checker.repair(builder.image, time: 3) { _ in true }
    #expect(!lost.isEmpty && lost.count < 100)
    #expect(try builder.attributeNames(tree.described) == before.subtracting(lost))
  }

  @Test("A damaged value node loses only that attribute")
  func losesOneValue() throws {
    let (builder, tree) = try ImageBuilder.populated()
    let before = try builder.attributeNames(tree.described)
    let part = try builder.valueNodes(tree.described)[2]
    try builder.overwrite(try builder.address(.internalNode, part)) { $0.store(UInt8(1), at: 100) }
    _ = try Checker.repair(builder.image, time: 3) { _ in true }
    #expect(try builder.attributeNames(tree.described) == before.subtracting([Array("user.long".utf8)]))
    #expect(try Checker.check(builder.image).isClean)
  }

  @Test("A directory may have its subdirectories uncounted")
  func uncountedLinks() throws {
    let (builder, tree) = try ImageBuilder.populated()
    try builder.change { try $0.inode(tree.directory).links = Inode.uncountedLinks }
    #expect(try Checker.check(builder.image).isClean)
  }
}
