import Format
import TestSupport
import Testing

@testable import Checker

/// A corruption of a filesystem, the finding that a check must make, and whether a repair must repair it.
struct Corruption: CustomTestStringConvertible, Sendable {
  let testDescription: String
  let kinds: Set<Finding.Kind>
  let isMended: Bool
  let spoil: @Sendable (ImageBuilder, ImageBuilder.Tree) throws -> Void

  init(
    _ name: String, _ kinds: Set<Finding.Kind>, isMended: Bool = true,
    _ spoil: @escaping @Sendable (ImageBuilder, ImageBuilder.Tree) throws -> Void
  ) {
    testDescription = name
    self.kinds = kinds
    self.isMended = isMended
    self.spoil = spoil
  }

  /// Changes fields of an inode under right checksums.
  static func inode(
    _ name: String, _ kinds: Set<Finding.Kind>, isMended: Bool = true,
    _ number: KeyPath<ImageBuilder.Tree, UInt64> & Sendable, _ change: @escaping @Sendable (Inode) -> Void
  ) -> Corruption {
    Corruption(name, kinds, isMended: isMended) { builder, tree in
      try builder.change { change(try $0.inode(tree[keyPath: number])) }
    }
  }

  /// Changes a directory's records under right checksums, without its counts.
  static func records(
    _ name: String, _ kinds: Set<Finding.Kind>, isMended: Bool = true, in directory: UInt64 = 1,
    _ change: @escaping @Sendable (inout [NewRecord], ImageBuilder.Tree) -> Void
  ) -> Corruption {
    Corruption(name, kinds, isMended: isMended) { builder, tree in
      try builder.change { try $0.changeNames(of: directory) { change(&$0, tree) } }
    }
  }

  /// Changes a block without its checksum.
  static func block(
    _ name: String, _ kinds: Set<Finding.Kind>, isMended: Bool = false,
    _ block: @escaping @Sendable (ImageBuilder, ImageBuilder.Tree) throws -> UInt64
  ) -> Corruption {
    Corruption(name, kinds, isMended: isMended) { builder, tree in
      try builder.overwrite(try block(builder, tree)) { $0.store($0.load(UInt8.self, at: 77) ^ 4, at: 77) }
    }
  }

  static let all: [Corruption] = copies + inodes + names + references + attributes
}

extension Corruption {
  /// Superblocks, packs, usage table.
  static let copies: [Corruption] = [
    .block("first superblock", [.superblockCopy], isMended: true) { _, _ in 0 },
    .block("second superblock", [.superblockCopy], isMended: true) { builder, _ in
      builder.superblock.geometry.blockCount - 1
    },
    .block("one copy of the newest pack", [.packCopy], isMended: true) { builder, _ in
      builder.superblock.geometry.packBlock(slot: Int(try builder.pack().sequence & 1), copy: 0)
    },
    Corruption("both copies of the older pack", [.pack]) { builder, _ in
      let slot = Int(~(try builder.pack().sequence) & 1)
      for copy in 0...1 {
        try builder.overwrite(builder.superblock.geometry.packBlock(slot: slot, copy: copy)) { $0.clear() }
      }
    },
    .block("a usage block", [.usageBlock], isMended: true) { builder, _ in
      builder.superblock.geometry.usageBlock(0, copy: try builder.pack().usage[0].copy)
    },
    Corruption("a wrong live count", [.usage]) { builder, _ in
      try builder.changeUsage { UsageEntry(live: 5, state: .used, age: 1).store($0, index: 40) }
    },
    Corruption("a used segment called free", [.usage]) { builder, _ in
      try builder.changeUsage { page in
        for index in 0..<100 where UsageEntry(page, index: index).live > 0 {
          var entry = UsageEntry(page, index: index)
          entry.state = .free
          entry.store(page, index: index)
        }
      }
    },
    Corruption("the log's segments called free", [.logPosition]) { builder, _ in
      try builder.changeUsage { page in
        UsageEntry().store(page, index: 1)
        UsageEntry().store(page, index: 2)
      }
    },
    Corruption("a wrong count of reserved blocks", [.reservedBlocks]) { builder, _ in
      try builder.changePack { $0.reservedBlocks = 9 }
    },
    Corruption("a wrong count of inodes", [.tableCount]) { builder, _ in
      try builder.changePack { $0.inodes.used -= 1 }
    },
    Corruption("a search that begins at number 0", [.tableCount]) { builder, _ in
      try builder.changePack { $0.internals.cursor = 0 }
    },
    Corruption("numbers beyond the table's limit", [.tableEntry, .tableCount]) { builder, _ in
      try builder.changePack {
        $0.internals.limit = 2
        $0.internals.used = 1
      }
    },
  ]

  /// Fields of inodes.
  static let inodes: [Corruption] = [
    .inode("a wrong count of blocks", [.blockCount], \.medium) { $0.blocks = 7 },
    .inode("blocks past the size", [.size], \.medium) { $0.size = 4096 },
    .inode("a wrong count of links", [.links], \.small) { $0.links = 1 },
    .inode("a directory's wrong count of links", [.links], \.directory) { $0.links = 9 },
    .inode("a wrong count of names", [.directoryCount], \.crowded) { $0.entryCount = 3 },
    .inode("a directory's wrong size", [.directoryCount], \.directory) { $0.size += 1 },
    .inode("a wrong parent", [.directoryParent], \.inner) { $0.parent = NodeID.root.raw },
    .inode("no links, though named", [.links], \.medium) { $0.links = 0 },
    .inode("another type than its name's", [.directoryType], \.small) { $0.mode = 0o010600 },
    .inode("an impossible layout", [.inode], \.large) { $0.page.store(UInt8(9), Inode.fields.layout) },
    .inode("a generation of its own", [.inodeGeneration], isMended: false, \.small) { $0.generation = 8 },
    .inode("a directory's uncounted links, too early", [.links], \.directory) { $0.links = 65001 },
    .inode("torn attributes", [.attributes], \.small) { $0.attributeLength -= 1 },
    Corruption("an orphan that is not in the orphan directory", [.orphan]) { builder, tree in
      try builder.change { try $0.changeNames(of: NodeID.orphans.number) { $0 = [] } }
    },
    Corruption("an orphan with a name", [.links]) { builder, tree in
      try builder.change { try $0.name([("again", try $0.inode(tree.orphan))], in: .root) }
    },
  ]

  /// Names in directories.
  static let names: [Corruption] = [
    .records("a name of an inode that does not exist", [.danglingRecord]) { records, _ in
      records.append(
        NewRecord(name: Array("ghost".utf8), node: NodeID(number: 99_999, generation: 0), type: 8))
    },
    .records("a name of a former generation", [.danglingRecord, .unreachable]) { records, tree in
      for index in records.indices where records[index].node.number == tree.medium {
        records[index].node = NodeID(number: tree.medium, generation: 5)
      }
    },
    .records("a missing name", [.unreachable]) { records, tree in
      records.removeAll { $0.node.number == tree.medium }
    },
    .records("a directory's missing name", [.unreachable, .links]) { records, tree in
      records.removeAll { $0.node.number == tree.directory }
    },
    .records("a name with a slash", [.directoryName]) { records, tree in
      records.append(
        NewRecord(name: Array("a/b".utf8), node: NodeID(number: tree.small, generation: 0), type: 8))
    },
    .records("the name ..", [.directoryName]) { records, tree in
      records.append(
        NewRecord(name: Array("..".utf8), node: NodeID(number: tree.small, generation: 0), type: 8))
    },
    .records("a directory with two names", [.directoryLinked]) { records, tree in
      records.append(
        NewRecord(name: Array("more".utf8), node: NodeID(number: tree.inner, generation: 0), type: 4))
    },
    .records("the root inside itself", [.danglingRecord]) { records, _ in
      records.append(NewRecord(name: Array("loop".utf8), node: .root, type: 4))
    },
    .records("an orphan under a wrong name", [.orphan], in: NodeID.orphans.number) { records, _ in
      records[0].name = Array("0000000000000001".utf8)
      records[0].key = 0
    },
    Corruption("a directory inside itself", [.directoryCycle, .directoryParent]) { builder, tree in
      try builder.change { transaction in
        try transaction.changeNames(of: 1) { $0.removeAll { $0.node.number == tree.directory } }
        try transaction.name(
          [("up", try transaction.inode(tree.directory))], in: NodeID(number: tree.inner, generation: 0))
      }
    },
    Corruption("a key that is not the name's", [.directoryKey]) { builder, tree in
      try builder.change { transaction in
        let inode = try transaction.inode(tree.directory)
        inode.page.store(UInt64(1) << 15, at: Inode.inlineStart)
      }
    },
    Corruption("a duplicate name", [.directoryName]) { builder, tree in
      try builder.change { transaction in
        let inode = try transaction.inode(tree.inner)
        let name = Array("twin".utf8)
        let hash = transaction.check.hash.of(name) << DirectoryHash.ordinalBits
        for key in [hash, hash + 1] {
          inode.inlineLength = name.withUnsafeBytes {
            DirectoryEntries(inode).insert(
              key: key, node: NodeID(number: tree.small, generation: 0), type: 8, name: $0)
          }
        }
      }
    },
    Corruption("a leaf where a lookup does not find its names", [.directoryKey]) { builder, tree in
      try builder.change { transaction in
        let index = DirectoryIndex(
          try transaction.changeNode(try transaction.inode(tree.crowded).root & ~(1 << 63)))
        let low = index[0]
        let high = index[255]
        for slot in 0..<256 where index[slot] == low { index[slot] = 1 << 40 }
        for slot in 0..<256 where index[slot] == high { index[slot] = low }
        for slot in 0..<256 where index[slot] == 1 << 40 { index[slot] = high }
      }
    },
  ]

  /// References between blocks, and blocks themselves.
  static let references: [Corruption] = [
    .block("a byte of an inode", [.inode], isMended: true) { try $0.address(.inode, $1.medium) },
    .block("a byte of the root directory", [.inode, .unreachable], isMended: true) { builder, _ in
      try builder.address(.inode, 1)
    },
    .block("a byte of a map node", [.node]) { builder, tree in
      try builder.address(.internalNode, try builder.inode(tree.large).root)
    },
    .block("a byte of a directory index", [.node, .directoryNames], isMended: true) { builder, tree in
      try builder.address(.internalNode, try builder.inode(tree.crowded).root & ~(1 << 63))
    },
    .block("a byte of an inode table leaf", [.tableBlock]) { builder, _ in
      let pack = try builder.pack()
      return pack.inodes.address
    },
    .block("a byte of data", [.data]) { builder, tree in
      let inode = try builder.inode(tree.medium)
      let map = try builder.node(inode.root)
      return Entry(map, at: 5 * Entry.size).address
    },
    Corruption("a node that nothing refers to", [.nodeUnreferenced]) { builder, _ in
      try builder.change { _ = try $0.makeNode() }
    },
    Corruption("a node that two inodes refer to", [.nodeReference, .attributes]) { builder, tree in
      try builder.change { transaction in
        try transaction.inode(tree.medium).attributeNode = try transaction.inode(tree.large).attributeNode
      }
    },
    Corruption("a reference to no node", [.nodeReference, .attributes]) { builder, tree in
      try builder.change { try $0.inode(tree.small).attributeNode = 77_777 }
    },
    Corruption("a block of two files", [.blockSharing], isMended: false) { builder, tree in
      try builder.change { transaction in
        let map = try transaction.changeNode(try transaction.inode(tree.medium).root)
        Entry(map, at: 3 * Entry.size).store(map, at: 4 * Entry.size)
      }
    },
    Corruption("a block outside of all segments", [.address], isMended: false) { builder, tree in
      try builder.change { transaction in
        let map = try transaction.changeNode(try transaction.inode(tree.medium).root)
        Entry(address: 1, checksum: 0).store(map, at: 4 * Entry.size)
      }
    },
    Corruption("slots that no leaf can cover", [.directoryRange]) { builder, tree in
      try builder.change { transaction in
        let index = DirectoryIndex(
          try transaction.changeNode(try transaction.inode(tree.crowded).root & ~(1 << 63)))
        index[index.range(of: 0).upperBound - 1] = 0
      }
    },
    Corruption("a leaf of another directory", [.directoryNode, .directoryNames]) { builder, tree in
      try builder.change { transaction in
        let index = DirectoryIndex(
          try transaction.changeNode(try transaction.inode(tree.crowded).root & ~(1 << 63)))
        DirectoryLeaf(try transaction.changeNode(index[0])).owner = 1
      }
    },
  ]
}

@Suite("Every kind of corruption")
struct CorruptionTests {
  @Test(
    "is found with its kind, repaired where expected, and never made worse", arguments: Corruption.all)
  func found(corruption: Corruption) throws {
    let (builder, tree) = try ImageBuilder.populated()
    try corruption.spoil(builder, tree)
    let outcome = try Checker.repair(builder.image, time: 3) { _ in true }
    let before = outcome.before
    #expect(before.findings.kinds.isSuperset(of: corruption.kinds), "\(before.findings.text)")
    let after = try Checker.check(builder.image)
    #expect(
      after.isClean == corruption.isMended,
      "found \(before.findings.text)\nleft \(after.findings.text)\n\(outcome.failures)")
    #expect(outcome.after.counts == after.counts)
    #expect(after.verifiedBlocks >= before.verifiedBlocks && after.files >= before.files)
    #expect(after.counts[.damage, default: 0] <= before.counts[.damage, default: 0])
  }

  @Test("is left alone when repairs are declined", arguments: Corruption.all)
  func declined(corruption: Corruption) throws {
    let (builder, tree) = try ImageBuilder.populated()
    try corruption.spoil(builder, tree)
    let over = Overlay(over: builder.image)
    let outcome = try Checker.repair(over, time: 3) { _ in false }
    #expect(over.writtenBlocks.isEmpty && outcome.repaired == 0 && !outcome.before.isClean)
  }
}

extension ImageBuilder {
  /// Changes the usage table's first block under right checksums.
  func changeUsage(_ body: (Page) -> Void) throws {
    let copy = try pack().usage[0].copy
    var sum: UInt32 = 0
    try overwrite(superblock.geometry.usageBlock(0, copy: copy)) { page in
      body(page)
      sum = Checksum(nonce: superblock.nonce).of(page)
    }
    try changePack { $0.usage[0].checksum = sum }
  }

  func inode(_ number: UInt64) throws -> Inode {
    Inode(try page(try address(.inode, number)))
  }

  func node(_ number: UInt64) throws -> Page { try page(try address(.internalNode, number)) }

  func page(_ block: UInt64) throws -> Page {
    let buffer = PageBuffer()
    _ = image.read(block: block, count: 1, into: buffer.page.base)
    kept.append(buffer)
    return buffer.page
  }
}

extension Transaction {
  /// An internal node, to be changed.
  func changeNode(_ number: UInt64) throws -> Page {
    let buffer = try node(number)
    adopt(number, buffer)
    return buffer.page
  }
}
