/// Artificial cache misses, for tests only (`Options.missSeed`).
///
/// They test that an operation that throws `again` has changed nothing that its rerun does not expect. A seed
/// chooses some runs of operations and jobs; in such a run one block that is looked up counts as missing
/// although it is in memory, and may be evicted. The next run of the same operation has no artificial miss.
struct PlannedMisses {
  /// The state of the random generator; 0 for no artificial misses.
  private(set) var random: UInt64
  /// Whether the block is evicted, if it can be.
  private(set) var forgets = false
  /// How many blocks are still found before the miss; negative when there is none.
  var left = -1
  /// The request or job whose last run met one.
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
