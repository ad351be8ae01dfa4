/// CNS: which structure Identify returns, each 4096 bytes (Base 2.0, section 5.17).
public struct IdentifyStructure: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt8
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// The size of every Identify structure in bytes.
  public static let size = 4096

  /// Identify Namespace.
  public static let namespace = IdentifyStructure(rawValue: 0x00)
  /// Identify Controller.
  public static let controller = IdentifyStructure(rawValue: 0x01)
  /// Namespaces active on the controller, above the NSID given.
  public static let activeNamespaces = IdentifyStructure(rawValue: 0x02)
  /// The namespace's identifiers (EUI-64, NGUID, UUID).
  public static let namespaceDescriptors = IdentifyStructure(rawValue: 0x03)
  /// The part of Identify Namespace that is specific to an I/O command set.
  public static let commandSetNamespace = IdentifyStructure(rawValue: 0x05)
  /// The part of Identify Controller that is specific to an I/O command set.
  public static let commandSetController = IdentifyStructure(rawValue: 0x06)
  /// Active namespaces of an I/O command set.
  public static let commandSetActiveNamespaces = IdentifyStructure(rawValue: 0x07)
  /// The part of Identify Namespace that is common to all I/O command sets.
  public static let independentNamespace = IdentifyStructure(rawValue: 0x08)
  /// Namespaces that exist, attached or not.
  public static let allocatedNamespaces = IdentifyStructure(rawValue: 0x10)
  /// Identify Namespace of one that may not be attached.
  public static let allocatedNamespace = IdentifyStructure(rawValue: 0x11)
  /// Controllers of the subsystem.
  public static let controllers = IdentifyStructure(rawValue: 0x13)
  /// Combinations of I/O command sets.
  public static let commandSets = IdentifyStructure(rawValue: 0x1c)
}
