/// How long to poll on before sleeping, learnt from the last pauses.
///
/// Falling asleep and being woken takes longer than many a pause. So while pauses are short, polling goes on
/// for twice the time of the longer of the last two; after one that was longer than the limit there is no
/// polling until one is short again.
public struct AdaptivePolling {
  /// The usual limit of polling (ns).
  public static let usualLimit: UInt64 = 200_000
  /// How long to poll on after the shortest pauses (ns): what falling asleep and being woken takes.
  private static let least: UInt64 = 30_000

  /// When there began to be nothing to do, 0 while there is; and how long that lasted the last two times.
  @usableFromInline var idleSince: UInt64 = 0
  @usableFromInline var last: UInt64 = 0
  @usableFromInline var lastButOne: UInt64 = 0

  public init() {}

  /// Whether to poll on, there being nothing to do.
  /// - Parameters:
  ///   - now: the time (ns, monotonic).
  ///   - limit: how long to poll on at most (ns).
  public mutating func shouldPoll(at now: UInt64, limit: UInt64 = usualLimit) -> Bool {
    if idleSince == 0 { idleSince = now }
    let longer = lastButOne < limit ? max(last, lastButOne) : last
    let patience = min(limit, max(2 &* longer, Self.least))
    return last < limit && now &- idleSince < patience
  }

  /// There is something to do again.
  /// - Parameter now: the time (ns, monotonic), asked for only after a pause.
  @inlinable @inline(__always)
  public mutating func end(at now: @autoclosure () -> UInt64) {
    guard idleSince != 0 else { return }
    lastButOne = last
    last = now() &- idleSince
    idleSince = 0
  }
}
