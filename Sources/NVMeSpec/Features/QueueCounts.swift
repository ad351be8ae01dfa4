/// The value of Number of Queues, as asked for and as granted (Base 2.0, section 5.27.1.5).
public struct QueueCounts: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// The numbers of I/O submission and completion queues, 1...65,535.
  public init(submission: Int, completion: Int) {
    let low = UInt32(truncatingIfNeeded: min(max(submission, 1), 65_535) - 1)
    let high = UInt32(truncatingIfNeeded: min(max(completion, 1), 65_535) - 1)
    rawValue = high << 16 | low
  }

  /// I/O submission queues, as a count (the field itself is 0's based).
  public var submission: Int { Int(rawValue.field(0, 16)) + 1 }
  /// I/O completion queues, as a count (the field itself is 0's based).
  public var completion: Int { Int(rawValue.field(16, 16)) + 1 }
  /// The queue pairs that both numbers allow.
  public var pairs: Int { min(submission, completion) }
}
