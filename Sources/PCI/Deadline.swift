import CMachine

/// The time by which an exchange has to be over, however many reads and writes it takes.
public struct Deadline: Sendable, Comparable {
  /// ns, monotonic.
  private let end: UInt64

  /// So many nanoseconds from now.
  public init(in duration: UInt64) { end = cm_monotonic_ns() &+ duration }

  public static func < (one: Deadline, other: Deadline) -> Bool { one.end < other.end }

  /// What is left, in nanoseconds; 0 once it is over.
  public var nanoseconds: UInt64 {
    let now = cm_monotonic_ns()
    return now >= end ? 0 : end - now
  }

  /// What is left, in whole milliseconds, at least 1 until it is over; 0 then.
  public var milliseconds: Int32 {
    let left = nanoseconds
    return left == 0 ? 0 : Int32(clamping: left / 1_000_000 + 1)
  }
}
