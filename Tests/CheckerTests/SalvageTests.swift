import Format
import TestSupport
import Testing

@testable import Checker

/// Directories whose nodes are damaged keep the names that are certainly genuine, and no others.
@Suite("Damaged directories") struct SalvageTests {
  /// The block of one of the leaves of the crowded directory, which `choice` names.
  private func leaf(_ builder: ImageBuilder, _ tree: ImageBuilder.Tree, _ choice: Int) throws -> UInt64 {
    let index = DirectoryIndex(try builder.node(try builder.inode(tree.crowded).root & ~(1 << 63)))
    let leaves = Set((0..<DirectoryIndex.slots).map { index[$0] }).subtracting([0]).sorted()
    return try builder.address(.internalNode, leaves[choice % leaves.count])
  }

  @Test(
    "lose at most the record in which a byte is wrong, and the one that it seems to be", arguments: 0..<12)
  func flippedByte(seed: Int) throws {
    var random = SplitMix(seed: UInt64(seed))
    let (builder, tree) = try ImageBuilder.populated()
    let all = try builder.names(in: tree.crowded)
    let offset = 32 + Int(random.next() % 3000)
    try builder.overwrite(try leaf(builder, tree, seed)) {
      $0.store($0.load(UInt8.self, at: offset) ^ UInt8(1 << (seed % 8)), at: offset)
    }
    let outcome = try Checker.repair(builder.image, time: 3) { _ in true }
    #expect(outcome.after.isClean && outcome.failures.isEmpty, "\(outcome.after.findings.text)")
    let left = try builder.names(in: tree.crowded)
    #expect(left.isSubset(of: all) && left.count >= all.count - 2)
    let root = try builder.names(in: 1)
    #expect(root.contains("lost+found") == (left.count < all.count))
  }

  @Test("lose the names of a leaf that cannot be read, and no inode")
  func clearedLeaf() throws {
    let (builder, tree) = try ImageBuilder.populated()
    let before = try Checker.check(builder.image).files
    let all = try builder.names(in: tree.crowded)
    try builder.overwrite(try leaf(builder, tree, 1)) { $0.clear() }
    let outcome = try Checker.repair(builder.image, time: 3) { _ in true }
    #expect(outcome.after.isClean, "\(outcome.after.findings.text)")
    #expect(outcome.after.files == before)
    let left = try builder.names(in: tree.crowded)
    #expect(left.count < all.count && left.isSubset(of: all) && !left.isEmpty)
  }

  @Test("keep every name when only the index is damaged")
  func clearedIndex() throws {
    let (builder, tree) = try ImageBuilder.populated()
    let all = try builder.names(in: tree.crowded)
    let index = try builder.inode(tree.crowded).root & ~(1 << 63)
    try builder.overwrite(try builder.address(.internalNode, index)) { $0.clear() }
    let outcome = try Checker.repair(builder.image, time: 3) { _ in true }
    #expect(outcome.after.isClean, "\(outcome.after.findings.text)")
    #expect(try builder.names(in: tree.crowded) == all)
    #expect(try !builder.names(in: 1).contains("lost+found"))
  }
}
