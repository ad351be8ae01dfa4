/// The result of an Asynchronous Event Request (Base 2.0, section 5.2).
public struct AsynchronousEvent: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
  public var rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  public init(type: UInt8, information: UInt8, log: LogPage) {
    rawValue = UInt32(type & 7) | UInt32(information) << 8 | UInt32(log.rawValue) << 16
  }

  /// The type: 0 error, 1 SMART, 2 notice, 6 I/O command set, 7 vendor.
  public var type: UInt8 { UInt8(truncatingIfNeeded: rawValue.field(0, 3)) }
  /// What happened; its meaning depends on the type.
  public var information: UInt8 { UInt8(truncatingIfNeeded: rawValue.field(8, 8)) }
  /// The log page with details; reading it unmasks the next event of the type.
  public var log: LogPage { LogPage(rawValue: UInt8(truncatingIfNeeded: rawValue.field(16, 8))) }

  /// A doorbell of a queue that does not exist was written.
  public static let invalidDoorbellRegister = AsynchronousEvent(type: 0, information: 0, log: .error)
  /// A doorbell was given a value it cannot have.
  public static let invalidDoorbellValue = AsynchronousEvent(type: 0, information: 1, log: .error)
  /// The medium or the controller has become unreliable.
  public static let reliability = AsynchronousEvent(type: 1, information: 0, log: .smart)
  /// A temperature is above its threshold.
  public static let temperature = AsynchronousEvent(type: 1, information: 1, log: .smart)
  /// Spare has fallen below its threshold.
  public static let spareLow = AsynchronousEvent(type: 1, information: 2, log: .smart)
  /// A namespace was added, removed or changed.
  public static let namespaceAttributeChanged = AsynchronousEvent(
    type: 2, information: 0, log: .changedNamespaces)
  /// A firmware activation starts; commands are not processed while CSTS.PP is set.
  public static let firmwareActivationStarting = AsynchronousEvent(
    type: 2, information: 1, log: .firmwareSlots)

  private static let names: [AsynchronousEvent: String] = [
    .invalidDoorbellRegister: "a doorbell of no queue was written",
    .invalidDoorbellValue: "a doorbell was given an invalid value",
    .reliability: "reliability is degraded",
    .temperature: "a temperature is above its threshold",
    .spareLow: "spare is below its threshold",
    .namespaceAttributeChanged: "a namespace changed",
    .firmwareActivationStarting: "firmware is being activated",
  ]

  /// What happened, as text.
  public var description: String {
    Self.names[self]
      ?? "event of type \(type), information \(hex(information)), log page \(hex(log.rawValue))"
  }
}
