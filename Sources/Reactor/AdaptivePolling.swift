/// How long to keep polling before sleeping, derived from the last pauses.
///
/// Sleeping and waking takes longer than many a pause. So while pauses are short, polling continues for twice
/// the longer of the last two; after one that was longer than the limit there is no polling until one is
/// short again.
public struct AdaptivePolling {
  /// The usual limit of polling (ns).
  public static let usualLimit: UInt64 = 200_000
  /// How long to poll at least after short pauses (ns): about the time of sleeping and waking.
  private static let least: UInt64 = 30_000

  /// When the present pause began, 0 while there is work; and the lengths of the last two pauses.
  @usableFromInline var idleSince: UInt64 = 0
  @usableFromInline var last: UInt64 = 0
  @usableFromInline var lastButOne: UInt64 = 0

  public init() {}

  /// Whether to keep polling although there is nothing to do.
  /// - Parameters:
  ///   - now: the time (ns, monotonic).
  ///   - limit: how long to poll at most (ns).
  public mutating func shouldPoll(at now: UInt64, limit: UInt64 = usualLimit) -> Bool {
    if idleSince == 0 { idleSince = now }
    let longer = lastButOne < limit ? max(last, lastButOne) : last
    let patience = min(limit, max(2 &* longer, Self.least))
    return last < limit && now &- idleSince < patience
  }

  /// Records that there is work again.
  /// - Parameter now: the time (ns, monotonic), evaluated only after a pause.
  @inlinable @inline(__always)
  public mutating func end(at now: @autoclosure () -> UInt64) {
    guard idleSince != 0 else { return }
    lastButOne = last
    last = now() &- idleSince
    idleSince = 0
  }
}
