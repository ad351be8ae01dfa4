/// LID: a log page (Base 2.0, section 5.16.1).
public struct LogPage: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt8
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// Supported Log Pages.
  public static let supported = LogPage(rawValue: 0x00)
  /// Error Information: `ErrorLogEntry` by `ErrorLogEntry`, newest first.
  public static let error = LogPage(rawValue: 0x01)
  /// SMART / Health Information.
  public static let smart = LogPage(rawValue: 0x02)
  /// Firmware Slot Information.
  public static let firmwareSlots = LogPage(rawValue: 0x03)
  /// Namespaces changed since the log was last read.
  public static let changedNamespaces = LogPage(rawValue: 0x04)
  /// Commands Supported and Effects.
  public static let commandEffects = LogPage(rawValue: 0x05)
}
