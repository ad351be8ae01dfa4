import Format

/// The blocks of a device that may fail for a while: reads are repeated before a block counts as unreadable.
///
/// Owns the memory of the block that could be read last. It promises that a block it reports as unreadable is
/// so by itself: a failed read is repeated, each time after a read of that other block. Where that one fails
/// too, it is the device that does not read; then nothing more is read or written, because repairs would give
/// up what the device only does not show now.
public final class RetriedBlocks: BlockWriter {
  /// How often a failed read is repeated.
  private static let retriesAtMost = 3

  private let base: any BlockWriter
  /// A block that could be read, and a page to read it into.
  private var control: UInt64?
  private let controlPage = PageBuffer()
  /// The device has stopped reading: what was found since then is not valid.
  public private(set) var hasStopped = false

  public init(_ base: any BlockWriter) { self.base = base }

  public var blockCount: UInt64 { base.blockCount }

  public func read(_ blocks: UnsafeBufferPointer<UInt64>, into memory: UnsafeMutableRawPointer)
    -> [BlockFailure]
  {
    guard !hasStopped else { return blocks.map { BlockFailure(block: $0, errno: Self.ioError) } }
    var failures = base.read(blocks, into: memory)
    var controlIsRead = true
    for _ in 0..<Self.retriesAtMost where failures.contains(where: { $0.block < blockCount }) {
      controlIsRead = readControl()
      failures = failures.compactMap { readAgain($0, blocks, into: memory) }
    }
    if failures.isEmpty { control = blocks.last ?? control } else { hasStopped = !controlIsRead }
    return failures
  }

  private static let ioError: Int32 = 5

  /// Reads the block that could be read.
  /// - Returns: whether it can be read still; true when none could be yet.
  private func readControl() -> Bool {
    control.map { base.readBlock($0, into: controlPage.page.base) } ?? true
  }

  /// Reads a block again that could not be read.
  /// - Returns: how it failed again, nil when it was read.
  private func readAgain(
    _ failure: BlockFailure, _ blocks: UnsafeBufferPointer<UInt64>, into memory: UnsafeMutableRawPointer
  ) -> BlockFailure? {
    for (index, block) in blocks.enumerated() where block == failure.block {
      let again = base.read(block: block, count: 1, into: memory + index * Page.size)
      if let failed = again.first { return failed }
    }
    return nil
  }

  public func write(_ bytes: UnsafeRawBufferPointer, at block: UInt64) throws(BlockFailure) {
    guard !hasStopped else { throw BlockFailure(block: block, errno: Self.ioError) }
    try base.write(bytes, at: block)
  }

  public func flush() throws(BlockFailure) {
    guard !hasStopped else { throw BlockFailure(block: 0, errno: Self.ioError) }
    try base.flush()
  }
}
