import Format

/// A copy-on-write overlay: written blocks are kept in memory, all others are read from the base.
///
/// A check that must not change anything replays the log into an overlay. Its memory grows with the blocks
/// written: at most the log between two checkpoints and the nodes that it changes.
public final class Overlay: BlockWriter {
  private let base: any BlockReader
  private var written: [UInt64: UnsafeMutableRawPointer] = [:]

  /// An overlay over `base`, which is never written.
  public init(over base: any BlockReader) { self.base = base }

  deinit { for memory in written.values { memory.deallocate() } }

  public var blockCount: UInt64 { base.blockCount }

  /// Blocks that were written, and so may differ from the base.
  public var writtenBlocks: Set<UInt64> { Set(written.keys) }

  public func read(_ blocks: UnsafeBufferPointer<UInt64>, into memory: UnsafeMutableRawPointer)
    -> [BlockFailure]
  {
    let failures = base.read(blocks, into: memory)
    guard !written.isEmpty else { return failures }
    for (index, block) in blocks.enumerated() {
      if let page = written[block] {
        (memory + index * Page.size).copyMemory(from: page, byteCount: Page.size)
      }
    }
    return failures.isEmpty ? failures : failures.filter { written[$0.block] == nil }
  }

  public func write(_ bytes: UnsafeRawBufferPointer, at block: UInt64) throws(BlockFailure) {
    guard let source = bytes.baseAddress else { return }
    for index in 0..<bytes.count / Page.size {
      let target = block + UInt64(index)
      guard target < blockCount else { throw BlockFailure(block: target, errno: 5) }
      let page = written[target] ?? .allocate(byteCount: Page.size, alignment: 16)
      page.copyMemory(from: source + index * Page.size, byteCount: Page.size)
      written[target] = page
    }
  }

  public func flush() {}
}

/// Blocks of zeros: as the base of an `Overlay`, a sparse image in memory.
public final class EmptyBlocks: BlockReader {
  public let blockCount: UInt64

  public init(blockCount: UInt64) { self.blockCount = blockCount }

  public func read(_ blocks: UnsafeBufferPointer<UInt64>, into memory: UnsafeMutableRawPointer)
    -> [BlockFailure]
  {
    memory.initializeMemory(as: UInt8.self, repeating: 0, count: blocks.count * Page.size)
    return blocks.filter { $0 >= blockCount }.map { BlockFailure(block: $0, errno: 5) }
  }
}
