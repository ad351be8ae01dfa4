import CMachine

/// The time by which an exchange has to be over, however many reads and writes it takes.
public struct Deadline: Sendable {
  /// How long daemons are given to answer a question, all of them together (ns).
  public static let patience: UInt64 = 10_000_000_000

  /// ns, monotonic.
  private let end: UInt64

  /// So many nanoseconds from now.
  public init(in duration: UInt64 = Deadline.patience) { end = cm_monotonic_ns() &+ duration }

  /// What is left, in whole milliseconds, at least 1 until it is over; 0 then.
  public var milliseconds: Int32 {
    let now = cm_monotonic_ns()
    return now >= end ? 0 : Int32(clamping: (end - now) / 1_000_000 + 1)
  }
}
