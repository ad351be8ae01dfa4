/// The time of an event.
public struct Instant: Sendable {
  /// Nanoseconds on a clock that never goes back; for deadlines.
  public var monotonic: UInt64
  /// Nanoseconds since 1970; for timestamps.
  public var realtime: Int64
  public init(monotonic: UInt64, realtime: Int64) {
    self.monotonic = monotonic
    self.realtime = realtime
  }
}
