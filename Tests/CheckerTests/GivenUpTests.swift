import Format
import TestSupport
import Testing

@testable import Checker

/// Inodes and tables that cannot be read are given up when asked to, with their names; everything else stays.
@Suite("Damaged inodes and tables") struct GivenUpTests {
  private func spoil(_ builder: ImageBuilder, _ block: UInt64) throws {
    try builder.overwrite(block) { $0.store($0.load(UInt8.self, at: 900) ^ 1, at: 900) }
  }

  private func mend(_ builder: ImageBuilder, dropsTables: Bool = false) throws -> RepairOutcome {
    var options = CheckOptions()
    options.dropsTables = dropsTables
    return try Checker.repair(builder.image, options: options, time: 3) { _ in true }
  }

  @Test("A file is given up with all its names, which are reported, and its blocks come free")
  func file() throws {
    let (builder, tree) = try ImageBuilder.populated()
    let before = try Checker.check(builder.image)
    try spoil(builder, try builder.address(.inode, tree.large))
    let outcome = try mend(builder)
    #expect(outcome.after.isClean, "\(outcome.after.findings.text)")
    #expect(outcome.lost == ["/directory/large"])
    #expect(outcome.after.files == before.files - 1)
    #expect(outcome.after.liveBlocks < before.liveBlocks - 300)
    #expect(try builder.names(in: tree.directory) == ["inner", "small too"])
  }

  @Test("A file of two names loses both")
  func twoNames() throws {
    let (builder, tree) = try ImageBuilder.populated()
    try spoil(builder, try builder.address(.inode, tree.small))
    let outcome = try mend(builder)
    #expect(outcome.after.isClean, "\(outcome.after.findings.text)")
    #expect(outcome.lost.sorted() == ["/directory/small too", "/small"])
  }

  @Test("The contents of a directory move to lost+found")
  func directory() throws {
    let (builder, tree) = try ImageBuilder.populated()
    let before = try Checker.check(builder.image)
    try spoil(builder, try builder.address(.inode, tree.crowded))
    let outcome = try mend(builder)
    #expect(outcome.after.isClean, "\(outcome.after.findings.text)")
    #expect(outcome.lost == ["/crowded"])
    #expect(outcome.after.files == before.files)
    #expect(try builder.names(in: 1).contains("lost+found"))
  }

  @Test("The root is remade, and its contents move to lost+found", arguments: [1, 2] as [UInt64])
  func fixedDirectory(number: UInt64) throws {
    let (builder, _) = try ImageBuilder.populated()
    let before = try Checker.check(builder.image)
    try spoil(builder, try builder.address(.inode, number))
    let outcome = try mend(builder)
    #expect(outcome.after.isClean, "\(outcome.after.findings.text)")
    #expect(outcome.after.files == before.files)
    #expect(outcome.lost.isEmpty)
  }

  @Test("A file with a damaged map keeps the rest; one about to be freed is given up")
  func map() throws {
    let (builder, tree) = try ImageBuilder.populated()
    try spoil(builder, try builder.address(.internalNode, try builder.inode(tree.medium).root))
    let kept = try mend(builder)
    #expect(!kept.after.isClean)
    #expect(try builder.names(in: 1).contains("medium"))
    try builder.change { transaction in
      try transaction.inode(tree.medium).links = 0
      let id = try transaction.inode(tree.medium).id
      try transaction.changeNames(of: 1) { $0.removeAll { $0.node == id } }
      try transaction.changeNames(of: NodeID.orphans.number) {
        $0.append(NewRecord(name: Check.orphanName(id.number), node: id, type: 0))
      }
    }
    let gone = try mend(builder)
    #expect(gone.after.isClean, "\(gone.after.findings.text)")
    #expect(gone.lost.isEmpty)
  }

  @Test(
    "A table block stays unless it is to be dropped; its numbers are never allocated again",
    arguments: [OwnerKind.inodeTable, .internalTable])
  func table(kind: OwnerKind) throws {
    let (builder, _) = try ImageBuilder.populated()
    let pack = try builder.pack()
    let root = kind == .inodeTable ? pack.inodes : pack.internals
    try #require(root.height == 1)
    try spoil(builder, root.address)
    let files = try Checker.check(builder.image).files
    _ = try mend(builder)
    #expect(try Checker.check(builder.image).findings.contains { $0.kind == .tableBlock })
    #expect(try Checker.check(builder.image).files == files)
    let outcome = try mend(builder, dropsTables: true)
    #expect(!outcome.after.findings.contains { $0.kind == .tableBlock })
    try builder.change { transaction in
      let table = kind == .inodeTable ? transaction.inodeTable : transaction.nodeTable
      for number in 10..<256 as Range<UInt64> where try table.entry(number).address == 0 {
        #expect(try table.entry(number).stamp == NodeID.maximumGeneration)
      }
    }
  }

  /// An image whose crowded directory lies partly in nodes below the last block of the node table.
  private func straddling() throws -> (ImageBuilder, ImageBuilder.Tree, lastTableBlock: UInt64) {
    let (builder, tree) = try ImageBuilder.populated()
    try builder.change { transaction in
      let table = transaction.nodeTable
      table.setCounts(used: table.root.used, limit: UInt64(Entry.perBlock) - 4)
      try transaction.changeNames(of: tree.crowded) { _ in }
    }
    let root = try builder.pack().internals
    try #require(root.height == 2 && root.limit > Entry.perBlock)
    return (builder, tree, Entry(try builder.page(root.address), at: Entry.size).address)
  }

  @Test("A directory keeps the names that do not lie below a table block that is dropped")
  func directoryBelowDroppedTable() throws {
    let (builder, tree, block) = try straddling()
    let all = try builder.names(in: tree.crowded)
    let before = try Checker.check(builder.image).files
    try spoil(builder, block)
    let outcome = try mend(builder, dropsTables: true)
    #expect(outcome.failures.isEmpty && outcome.after.isClean, "\(outcome.after.findings.text)")
    #expect(outcome.after.files == before)
    let left = try builder.names(in: tree.crowded)
    #expect(!left.isEmpty && left.count < all.count && left.isSubset(of: all))
  }

  @Test("Nothing is given up that may lie below a table block that stays, and new nodes lie elsewhere")
  func directoryBelowKeptTable() throws {
    let (builder, tree, block) = try straddling()
    let all = try builder.names(in: tree.crowded)
    try spoil(builder, block)
    _ = try mend(builder)
    try builder.change { transaction in
      let number = try transaction.makeNode().number
      #expect(number == 2 * UInt64(Entry.perBlock))
    }
    try spoil(builder, block)
    let outcome = try mend(builder)
    #expect(outcome.after.isClean, "\(outcome.after.findings.text)")
    #expect(try builder.names(in: tree.crowded) == all)
  }

  @Test("An inode without a name stays where it is while an inode table block is kept")
  func inodesBelowKeptTable() throws {
    let (builder, tree) = try ImageBuilder.populated()
    try builder.change { transaction in
      let table = transaction.inodeTable
      table.setCounts(used: table.root.used, limit: UInt64(Entry.perBlock))
      let directory = try transaction.makeDirectory(in: .root)
      try transaction.name([("late", directory)], in: .root)
      let medium = try transaction.inode(tree.medium)
      try transaction.changeNames(of: 1) { $0.removeAll { $0.node == medium.id } }
      try transaction.name([("medium", medium)], in: directory.id)
    }
    let root = try builder.pack().inodes
    let block = Entry(try builder.page(root.address), at: Entry.size).address
    try spoil(builder, block)
    _ = try mend(builder)
    try spoil(builder, block)
    let outcome = try mend(builder)
    #expect(outcome.after.isClean, "\(outcome.after.findings.text)")
    let names = try builder.names(in: 1)
    #expect(names.contains("late") && names.isDisjoint(with: ["medium", "lost+found"]))
  }
}
