/// Misses where nothing is missing, which only tests ask for (`Options.missSeed`).
///
/// An operation that throws `again` must not have changed anything that a later run does not expect. So a
/// seed chooses runs of operations and jobs, and in them one block that is looked up, which counts as missing
/// although it is there, and may leave memory. The next run of the same operation is left alone.
struct PlannedMisses {
  /// 0 where there are none.
  private(set) var random: UInt64
  /// Whether the block that is not found leaves memory, where it can.
  private(set) var forgets = false
  /// How many blocks are still found before one is not; negative for all.
  var left = -1
  /// Whose last run met one.
  var lastWaiter = -1

  init(random: UInt64) { self.random = random }

  private mutating func next(below limit: UInt64) -> UInt64 {
    random ^= random << 13
    random ^= random >> 7
    random ^= random << 17
    return random % limit
  }

  /// A run begins.
  mutating func plan(for waiter: Int) {
    left = -1
    if waiter == lastWaiter {
      lastWaiter = -1
    } else if next(below: 4) == 0 {
      left = Int(next(below: 24))
      forgets = next(below: 2) == 0
    }
  }
}
