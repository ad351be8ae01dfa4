/// The result of an Asynchronous Event Request (Base 2.0, section 5.2).
public struct AsynchronousEvent: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  public init(type: UInt8, information: UInt8, log: LogPage) {
    rawValue = UInt32(type & 7) | UInt32(information) << 8 | UInt32(log.rawValue) << 16
  }

  /// The type: 0 error, 1 SMART, 2 notice, 6 I/O command set, 7 vendor.
  public var type: UInt8 { UInt8(truncatingIfNeeded: rawValue.field(0, 3)) }
  /// What happened; its meaning depends on the type.
  public var information: UInt8 { UInt8(truncatingIfNeeded: rawValue.field(8, 8)) }
  /// The log page that tells more; reading it lets the next event of the type come.
  public var log: LogPage { LogPage(rawValue: UInt8(truncatingIfNeeded: rawValue.field(16, 8))) }

  /// A doorbell of a queue that does not exist was written.
  public static let invalidDoorbellRegister = AsynchronousEvent(type: 0, information: 0, log: .error)
  /// A doorbell was given a value it cannot have.
  public static let invalidDoorbellValue = AsynchronousEvent(type: 0, information: 1, log: .error)
}
