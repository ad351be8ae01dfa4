/// AQA: the sizes of the admin queues (Base 2.0, section 3.1.3.8).
public struct AdminQueueAttributes: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// ASQS, 0's based: entries of the admin submission queue, less one (1...4095).
  public var submissionSize: UInt16 {
    get { UInt16(truncatingIfNeeded: rawValue.field(0, 12)) }
    set { rawValue.setField(0, 12, UInt32(newValue)) }
  }

  /// ACQS, 0's based: entries of the admin completion queue, less one (1...4095).
  public var completionSize: UInt16 {
    get { UInt16(truncatingIfNeeded: rawValue.field(16, 12)) }
    set { rawValue.setField(16, 12, UInt32(newValue)) }
  }
}
