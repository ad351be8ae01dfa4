/// How often and how long requests have waited, by what they waited for.
public struct WaitTimes: Sendable {
  /// For one reason: how often, how long in all, and how long at most (ns).
  public struct Total: Sendable {
    public internal(set) var count: UInt64 = 0
    public internal(set) var nanoseconds: UInt64 = 0
    public internal(set) var longest: UInt64 = 0
  }

  private var totals: InlineArray<9, Total> = .init(repeating: Total())

  /// The totals for one reason.
  public subscript(reason: WaitReason) -> Total { totals[Int(reason.rawValue)] }

  mutating func add(_ reason: WaitReason, nanoseconds: UInt64) {
    let index = Int(reason.rawValue)
    totals[index].count += 1
    totals[index].nanoseconds &+= nanoseconds
    totals[index].longest = max(totals[index].longest, nanoseconds)
  }
}
