/// A set of segment numbers whose lowest member is found in a few steps, however many segments there are.
///
/// A bitmap of 64-bit words; each level above has a bit for each non-zero word of the level below.
struct SegmentSet {
  private var levels: [[UInt64]] = []
  private(set) var count = 0

  /// An empty set of numbers below `capacity`.
  init(capacity: Int) {
    var words = capacity
    repeat {
      words = max((words + 63) / 64, 1)
      levels.append(Array(repeating: 0, count: words))
    } while words > 1
  }

  func contains(_ number: Int) -> Bool { levels[0][number / 64] >> UInt64(number % 64) & 1 != 0 }

  mutating func insert(_ number: Int) {
    guard !contains(number) else { return }
    count += 1
    var at = number
    for level in levels.indices {
      levels[level][at / 64] |= 1 << UInt64(at % 64)
      at /= 64
    }
  }

  mutating func remove(_ number: Int) {
    guard contains(number) else { return }
    count -= 1
    var at = number
    for level in levels.indices {
      levels[level][at / 64] &= ~(1 << UInt64(at % 64))
      guard levels[level][at / 64] == 0 else { return }
      at /= 64
    }
  }

  /// The lowest member, nil when the set is empty.
  var first: Int? {
    guard count > 0 else { return nil }
    var at = 0
    for level in levels.reversed() { at = at * 64 + level[at].trailingZeroBitCount }
    return at
  }
}
