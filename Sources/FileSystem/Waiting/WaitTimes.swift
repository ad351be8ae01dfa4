/// How often and how long requests wait, by what they wait for: one place for each `WaitReason`.
public struct WaitTimes: Sendable {
  /// For one reason: how many requests wait now, and for how long the one that has waited longest (ns); and of
  /// the waits that have ended how many there were, how long in all, and how long at most (ns).
  public struct Total: Sendable, Equatable {
    public internal(set) var waiting: UInt64 = 0
    public internal(set) var waitingFor: UInt64 = 0
    public internal(set) var count: UInt64 = 0
    public internal(set) var nanoseconds: UInt64 = 0
    public internal(set) var longest: UInt64 = 0
  }

  private var totals: InlineArray<10, Total> = .init(repeating: Total())

  /// The totals for one reason.
  public subscript(reason: WaitReason) -> Total { totals[Int(reason.rawValue)] }

  /// Counts a wait that has ended.
  mutating func add(_ reason: WaitReason, nanoseconds: UInt64) {
    let index = Int(reason.rawValue)
    totals[index].count += 1
    totals[index].nanoseconds &+= nanoseconds
    totals[index].longest = max(totals[index].longest, nanoseconds)
  }

  /// Counts a wait that goes on.
  mutating func addUnended(_ reason: WaitReason, nanoseconds: UInt64) {
    let index = Int(reason.rawValue)
    totals[index].waiting += 1
    totals[index].waitingFor = max(totals[index].waitingFor, nanoseconds)
  }
}
