/// OACS: the optional admin commands a controller supports (Base 2.0, figure 275).
public struct OptionalAdminCommands: OptionSet, Hashable, Sendable {
  public var rawValue: UInt16
  public init(rawValue: UInt16) { self.rawValue = rawValue }

  /// Security Send and Receive.
  public static let security = OptionalAdminCommands(rawValue: 1 << 0)
  /// Format NVM.
  public static let format = OptionalAdminCommands(rawValue: 1 << 1)
  /// Firmware Commit and Firmware Image Download.
  public static let firmware = OptionalAdminCommands(rawValue: 1 << 2)
  /// Namespace Management and Attachment.
  public static let namespaceManagement = OptionalAdminCommands(rawValue: 1 << 3)
  /// Device Self-test.
  public static let selfTest = OptionalAdminCommands(rawValue: 1 << 4)
  /// Doorbell Buffer Config: shadow doorbells.
  public static let doorbellBuffer = OptionalAdminCommands(rawValue: 1 << 8)
}

/// ONCS: the optional I/O commands a controller supports (NVM Command Set 1.0, section 4.1.5.3).
public struct OptionalIOCommands: OptionSet, Hashable, Sendable {
  public var rawValue: UInt16
  public init(rawValue: UInt16) { self.rawValue = rawValue }

  public static let compare = OptionalIOCommands(rawValue: 1 << 0)
  public static let writeUncorrectable = OptionalIOCommands(rawValue: 1 << 1)
  public static let datasetManagement = OptionalIOCommands(rawValue: 1 << 2)
  public static let writeZeroes = OptionalIOCommands(rawValue: 1 << 3)
  /// Save and Select fields of Set and Get Features.
  public static let saveFeatures = OptionalIOCommands(rawValue: 1 << 4)
  public static let reservations = OptionalIOCommands(rawValue: 1 << 5)
  public static let timestamp = OptionalIOCommands(rawValue: 1 << 6)
  public static let verify = OptionalIOCommands(rawValue: 1 << 7)
  public static let copy = OptionalIOCommands(rawValue: 1 << 8)
}

/// SGLS: which SGLs a controller supports (Base 2.0, figure 275).
public struct SGLSupport: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Bits 1:0: 0 none, 1 any alignment, 2 data blocks in multiples of 4 bytes.
  public var level: UInt8 { UInt8(truncatingIfNeeded: rawValue.field(0, 2)) }
  /// Whether I/O commands may use SGLs.
  public var supported: Bool { level == 1 || level == 2 }
  /// Whether data blocks must start at, and be, multiples of 4 bytes.
  public var dwordAligned: Bool { level == 2 }
  /// Bit bucket descriptors: bytes of a read may be discarded.
  public var bitBucket: Bool { rawValue.flag(16) }
}
