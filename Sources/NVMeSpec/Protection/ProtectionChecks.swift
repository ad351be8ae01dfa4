/// PRINFO of a command: how the controller handles protection information (NVM Command Set 1.0, figure 32).
public struct ProtectionChecks: OptionSet, Hashable, Sendable {
  public var rawValue: UInt8
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// PRCHK: the reference tag is checked.
  public static let reference = ProtectionChecks(rawValue: 1 << 0)
  /// PRCHK: the application tag is checked.
  public static let application = ProtectionChecks(rawValue: 1 << 1)
  /// PRCHK: the guard is checked.
  public static let guardTag = ProtectionChecks(rawValue: 1 << 2)
  /// PRACT: the controller generates the protection information of a write and, where the metadata is nothing
  /// else, strips that of a read.
  public static let action = ProtectionChecks(rawValue: 1 << 3)
}
