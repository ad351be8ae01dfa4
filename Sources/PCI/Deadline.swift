import CMachine

/// The time by which an exchange has to be over, however many reads and writes it takes.
public struct Deadline: Sendable, Comparable {
  /// ns, monotonic.
  private let end: UInt64

  /// A deadline `duration` nanoseconds from now.
  public init(in duration: UInt64) { end = cm_monotonic_ns() &+ duration }

  public static func < (one: Deadline, other: Deadline) -> Bool { one.end < other.end }

  /// The remaining time in nanoseconds; 0 once it has passed.
  public var nanoseconds: UInt64 {
    let now = cm_monotonic_ns()
    return now >= end ? 0 : end - now
  }

  /// The remaining time in whole milliseconds, at least 1 until it has passed; 0 then.
  public var milliseconds: Int32 {
    let left = nanoseconds
    return left == 0 ? 0 : Int32(clamping: left / 1_000_000 + 1)
  }
}
