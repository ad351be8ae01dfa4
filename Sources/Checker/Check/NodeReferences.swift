import Format

/// Which numbers of internal nodes are in use, and which of them are referred to: two bits a number.
final class NodeReferences {
  /// Four words of numbers in use, then four of numbers referred to.
  private var chunks: [UInt64: UnsafeMutablePointer<UInt64>] = [:]

  deinit { for chunk in chunks.values { chunk.deallocate() } }

  /// Records that `number` is in use.
  func addUsed(_ number: UInt64) {
    let chunk = chunks[number >> 8] ?? make(number >> 8)
    chunk[Int(number & 0xFF) / 64] |= 1 << (number % 64)
  }

  private func make(_ index: UInt64) -> UnsafeMutablePointer<UInt64> {
    let chunk = UnsafeMutablePointer<UInt64>.allocate(capacity: 8)
    chunk.initialize(repeating: 0, count: 8)
    chunks[index] = chunk
    return chunk
  }

  enum Outcome { case first, again, unused }

  /// Records a reference to `number`.
  func refer(_ number: UInt64) -> Outcome {
    guard let chunk = chunks[number >> 8] else { return .unused }
    let word = Int(number & 0xFF) / 64
    let bit = UInt64(1) << (number % 64)
    guard chunk[word] & bit != 0 else { return .unused }
    guard chunk[word + 4] & bit == 0 else { return .again }
    chunk[word + 4] |= bit
    return .first
  }

  /// Calls `body` with every number in use that is not referred to, ascending.
  func forEachUnreferenced(_ body: (UInt64) -> Void) {
    for index in chunks.keys.sorted() {
      guard let chunk = chunks[index] else { continue }
      for word in 0..<4 {
        var bits = chunk[word] & ~chunk[word + 4]
        while bits != 0 {
          body(index << 8 | UInt64(word * 64 + bits.trailingZeroBitCount))
          bits &= bits - 1
        }
      }
    }
  }
}
