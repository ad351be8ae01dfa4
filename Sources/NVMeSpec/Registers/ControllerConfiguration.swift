/// CC: the controller configuration, set by the host (Base 2.0, section 3.1.3.5).
public struct ControllerConfiguration: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// EN: 0 to 1 enables the controller, 1 to 0 resets it.
  public var enabled: Bool {
    get { rawValue.flag(0) }
    set { rawValue.setFlag(0, newValue) }
  }

  /// CSS: the I/O command set selected; changed only while not enabled.
  public var commandSet: CommandSetSelection {
    get { CommandSetSelection(rawValue: UInt8(truncatingIfNeeded: rawValue.field(4, 3))) }
    set { rawValue.setField(4, 3, UInt32(newValue.rawValue)) }
  }

  /// MPS: the host's memory page is `4096 << value` bytes; changed only while not enabled.
  public var pageSize: UInt8 {
    get { UInt8(truncatingIfNeeded: rawValue.field(7, 4)) }
    set { rawValue.setField(7, 4, UInt32(newValue)) }
  }

  /// AMS: the arbitration mechanism (0: round robin).
  public var arbitration: UInt8 {
    get { UInt8(truncatingIfNeeded: rawValue.field(11, 3)) }
    set { rawValue.setField(11, 3, UInt32(newValue)) }
  }

  /// SHN: the shutdown notification.
  public var shutdown: ShutdownNotification {
    get { ShutdownNotification(rawValue: UInt8(truncatingIfNeeded: rawValue.field(14, 2))) }
    set { rawValue.setField(14, 2, UInt32(newValue.rawValue)) }
  }

  /// IOSQES: an I/O submission entry is `1 << value` bytes; 6 for the NVM command set.
  public var submissionEntrySize: UInt8 {
    get { UInt8(truncatingIfNeeded: rawValue.field(16, 4)) }
    set { rawValue.setField(16, 4, UInt32(newValue)) }
  }

  /// IOCQES: an I/O completion entry is `1 << value` bytes; 4 for the NVM command set.
  public var completionEntrySize: UInt8 {
    get { UInt8(truncatingIfNeeded: rawValue.field(20, 4)) }
    set { rawValue.setField(20, 4, UInt32(newValue)) }
  }

  /// CRIME: ready independent of media.
  public var readyIndependentOfMedia: Bool {
    get { rawValue.flag(24) }
    set { rawValue.setFlag(24, newValue) }
  }
}

/// CC.CSS: which I/O command sets the controller enables.
public struct CommandSetSelection: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt8
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// The NVM command set.
  public static let nvm = CommandSetSelection(rawValue: 0)
  /// Every I/O command set the controller supports.
  public static let allSupported = CommandSetSelection(rawValue: 6)
  /// Admin commands only.
  public static let adminOnly = CommandSetSelection(rawValue: 7)
}

/// CC.SHN: how the host announces a shutdown.
public struct ShutdownNotification: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt8
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  public static let none = ShutdownNotification(rawValue: 0)
  /// An orderly shutdown: the controller makes everything durable.
  public static let normal = ShutdownNotification(rawValue: 1)
  /// An abrupt shutdown: power is lost at once.
  public static let abrupt = ShutdownNotification(rawValue: 2)
}
