/// CSTS: the controller status (Base 2.0, section 3.1.3.6).
public struct ControllerStatus: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// RDY: the controller processes commands.
  public var ready: Bool {
    get { rawValue.flag(0) }
    set { rawValue.setFlag(0, newValue) }
  }

  /// CFS: a fatal error that no completion could report; only a reset helps.
  public var fatal: Bool {
    get { rawValue.flag(1) }
    set { rawValue.setFlag(1, newValue) }
  }

  /// SHST: the progress of the shutdown.
  public var shutdown: ShutdownStatus {
    get { ShutdownStatus(rawValue: UInt8(truncatingIfNeeded: rawValue.field(2, 2))) }
    set { rawValue.setField(2, 2, UInt32(newValue.rawValue)) }
  }

  /// NSSRO: a subsystem reset happened; cleared by writing 1.
  public var subsystemResetOccurred: Bool {
    get { rawValue.flag(4) }
    set { rawValue.setFlag(4, newValue) }
  }

  /// PP: processing is paused.
  public var paused: Bool {
    get { rawValue.flag(5) }
    set { rawValue.setFlag(5, newValue) }
  }

  /// Whether the value is all ones, as read from a function that is gone.
  public var isGone: Bool { rawValue == .max }
}

/// CSTS.SHST.
public struct ShutdownStatus: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt8
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// No shutdown was requested.
  public static let none = ShutdownStatus(rawValue: 0)
  /// Under way.
  public static let occurring = ShutdownStatus(rawValue: 1)
  /// Done: power may be removed.
  public static let complete = ShutdownStatus(rawValue: 2)
}
