/// FID: a feature that Get and Set Features read and change (Base 2.0, section 5.27.1; NVM Command Set 1.0,
/// section 4.1.3).
public struct Feature: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
  public var rawValue: UInt8
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  public static let arbitration = Feature(rawValue: 0x01)
  public static let powerManagement = Feature(rawValue: 0x02)
  public static let temperatureThreshold = Feature(rawValue: 0x04)
  public static let errorRecovery = Feature(rawValue: 0x05)
  /// Bit 0: the volatile write cache is on.
  public static let volatileWriteCache = Feature(rawValue: 0x06)
  /// See `QueueCounts`.
  public static let numberOfQueues = Feature(rawValue: 0x07)
  public static let interruptCoalescing = Feature(rawValue: 0x08)
  public static let interruptVectorConfiguration = Feature(rawValue: 0x09)
  public static let writeAtomicityNormal = Feature(rawValue: 0x0a)
  public static let asynchronousEventConfiguration = Feature(rawValue: 0x0b)
  public static let autonomousPowerStates = Feature(rawValue: 0x0c)
  public static let hostMemoryBuffer = Feature(rawValue: 0x0d)
  public static let timestamp = Feature(rawValue: 0x0e)
  public static let keepAliveTimer = Feature(rawValue: 0x0f)
  /// 512 bytes of data; see `HostBehavior`.
  public static let hostBehaviorSupport = Feature(rawValue: 0x16)
  public static let hostIdentifier = Feature(rawValue: 0x81)
  public static let namespaceWriteProtection = Feature(rawValue: 0x84)

  private static let names: [Feature: String] = [
    .arbitration: "Arbitration",
    .powerManagement: "Power Management",
    .temperatureThreshold: "Temperature Threshold",
    .errorRecovery: "Error Recovery",
    .volatileWriteCache: "Volatile Write Cache",
    .numberOfQueues: "Number of Queues",
    .interruptCoalescing: "Interrupt Coalescing",
    .interruptVectorConfiguration: "Interrupt Vector Configuration",
    .writeAtomicityNormal: "Write Atomicity Normal",
    .asynchronousEventConfiguration: "Asynchronous Event Configuration",
    .autonomousPowerStates: "Autonomous Power State Transition",
    .hostMemoryBuffer: "Host Memory Buffer",
    .timestamp: "Timestamp",
    .keepAliveTimer: "Keep Alive Timer",
    .hostBehaviorSupport: "Host Behavior Support",
    .hostIdentifier: "Host Identifier",
    .namespaceWriteProtection: "Namespace Write Protection Config",
  ]

  /// The feature's name in the specification.
  public var description: String { Self.names[self] ?? "feature \(hex(rawValue))" }
}

/// SEL, of Get Features: which value is returned.
public struct FeatureSelection: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt8
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  public static let current = FeatureSelection(rawValue: 0)
  public static let defaultValue = FeatureSelection(rawValue: 1)
  public static let saved = FeatureSelection(rawValue: 2)
  /// Bit 0 saveable, bit 1 namespace specific, bit 2 changeable.
  public static let capabilities = FeatureSelection(rawValue: 3)
}
