import Format
import Testing

@testable import Checker

/// A device that reads nothing for a while: a repair gives nothing up because of it.
@Suite struct RetriedBlocksTests {
  /// Blocks of which some reads fail.
  private final class FailingBlocks: BlockWriter {
    private let base: Overlay
    private let fails: (_ read: Int, _ block: UInt64) -> Bool
    /// Blocks read so far.
    private var reads = 0

    /// - Parameter fails: whether a read fails, by its number and its block.
    init(_ base: Overlay, where fails: @escaping (_ read: Int, _ block: UInt64) -> Bool) {
      self.base = base
      self.fails = fails
    }

    var blockCount: UInt64 { base.blockCount }

    func read(_ blocks: UnsafeBufferPointer<UInt64>, into memory: UnsafeMutableRawPointer) -> [BlockFailure] {
      let failures = base.read(blocks, into: memory)
      return failures
        + blocks.filter { block in
          reads += 1
          return fails(reads - 1, block)
        }.map { BlockFailure(block: $0, errno: 5) }
    }

    func write(_ bytes: UnsafeRawBufferPointer, at block: UInt64) throws(BlockFailure) {
      try base.write(bytes, at: block)
    }

    func flush() { base.flush() }
  }

  @Test(arguments: [1, 3, 40, 2000]) func repairsGiveNothingUp(count: Int) throws {
    let (original, tree) = try ImageBuilder.populated()
    let files = try Checker.check(original.image).files
    var stops = 0
    for skip in stride(from: 0, to: 1200, by: 113) {
      let builder = ImageBuilder(over: original)
      let blocks = RetriedBlocks(
        FailingBlocks(builder.image) { read, _ in (skip..<skip + count).contains(read) })
      // A device that reads nothing from the beginning on shows no filesystem.
      let outcome = try? Checker.repair(blocks, time: 3) { _ in true }
      if outcome == nil || blocks.hasStopped { stops += 1 } else { #expect(outcome?.before.isClean == true) }
      let after = try Checker.check(builder.image)
      #expect(after.isClean && after.files == files, "reads from \(skip) on fail: \(after.findings.text)")
      #expect(try builder.names(in: tree.crowded) == original.names(in: tree.crowded))
    }
    #expect(count < 40 ? stops == 0 : stops > 0)
  }

  @Test("a block that cannot be read by itself is reported, and the others are read")
  func damagedBlock() throws {
    let (builder, _) = try ImageBuilder.populated()
    let blocks = RetriedBlocks(FailingBlocks(builder.image) { _, block in block == 1 })
    let memory = UnsafeMutableRawPointer.allocate(byteCount: 3 * Page.size, alignment: 16)
    defer { memory.deallocate() }
    #expect(blocks.readBlock(0, into: memory))
    #expect(blocks.read(block: 0, count: 3, into: memory).map(\.block) == [1])
    #expect(!blocks.hasStopped)
  }
}
