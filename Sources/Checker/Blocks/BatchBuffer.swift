import Format

/// Memory for batches of blocks, allocated and freed like a stack: a walk takes one for each level.
final class BatchBuffers {
  /// Blocks in a batch: the children of one node.
  static let blocks = Entry.perBlock
  private var free: [UnsafeMutableRawPointer] = []

  deinit { for buffer in free { buffer.deallocate() } }

  /// Calls `body` with memory for `blocks` blocks.
  func withBuffer<T>(_ body: (UnsafeMutableRawPointer) -> T) -> T {
    let buffer =
      free.popLast() ?? .allocate(byteCount: Self.blocks * Page.size, alignment: Page.size)
    defer { free.append(buffer) }
    return body(buffer)
  }
}
