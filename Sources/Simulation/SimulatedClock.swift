import FileProtocol

/// The time of a simulation, which only the simulation advances.
public struct SimulatedClock: Sendable {
  /// Where realtime begins, ns since 1970.
  public static let start: Int64 = 1_700_000_000_000_000_000
  public private(set) var now = Instant(monotonic: 1_000_000_000, realtime: start)

  public init() {}

  /// Lets time pass, in nanoseconds.
  public mutating func pass(_ nanoseconds: UInt64) {
    now.monotonic &+= nanoseconds
    now.realtime &+= Int64(clamping: nanoseconds)
  }

  /// Lets time pass until a moment on the monotonic clock.
  public mutating func reach(_ monotonic: UInt64) {
    if monotonic > now.monotonic { pass(monotonic - now.monotonic) }
  }
}
