import NVMeSpec

/// Names one value of a feature.
struct FeatureKey: Hashable {
  let feature: Feature
  /// The namespace, the interrupt vector, or the selectors of the threshold; 0 for a feature with a single
  /// value.
  var part: UInt32 = 0
}

/// The values of the features the host may read and change.
struct FeatureTable {
  /// The default values of all supported features.
  private var initial: [Feature: UInt32] = [
    .arbitration: 0,
    .powerManagement: 0,
    .temperatureThreshold: 0,
    .errorRecovery: 0,
    .volatileWriteCache: 1,
    .numberOfQueues: 0,
    .interruptCoalescing: 0,
    .interruptVectorConfiguration: 0,
    .writeAtomicityNormal: 0,
    .asynchronousEventConfiguration: 0,
    .timestamp: 0,
    .hostBehaviorSupport: 0,
    .hostIdentifier: 0,
  ]
  /// The values that the host has set.
  private var values: [FeatureKey: UInt32] = [:]

  /// Whether the volatile write cache is on; a copy of the feature's value for the write path.
  private(set) var writeCache = true
  /// The value of Host Behavior Support. (The controller itself sets no retry delay; the status of a fault
  /// rule is returned unchanged.)
  var hostBehavior = HostBehavior()

  /// Whether the host has been granted queues since the reset.
  var hasGrantedQueues = false
  /// The host's identifier of 16 bytes, zeros for none.
  var hostIdentifier = [UInt8](repeating: 0, count: 16)
  /// Timestamp as it was set, and when that was (ns); without a Set Features, 0 at the time of the reset.
  var timestamp = (value: TimestampValue(milliseconds: 0), at: UInt64(0))

  /// WCTEMP, which is also the default threshold of the composite temperature, in kelvin.
  static let warningTemperature: UInt16 = 343

  /// Sets the defaults that depend on the configuration.
  init(_ configuration: EmulatedController.Configuration) {
    let pairs = configuration.queuePairs
    initial[.numberOfQueues] = QueueCounts(submission: pairs, completion: pairs).rawValue
    initial[.volatileWriteCache] = configuration.volatileWriteCache ? 1 : nil
    initial[.hostMemoryBuffer] = configuration.hostMemory > 0 ? 0 : nil
    if !configuration.ioCommands.contains(.timestamp) { initial[.timestamp] = nil }
    writeCache = configuration.volatileWriteCache
  }

  /// Whether a feature is supported.
  func has(_ feature: Feature) -> Bool { initial[feature] != nil }

  /// A value of a feature; nil when there is none.
  func value(_ key: FeatureKey, _ selection: FeatureSelection = .current) -> UInt32? {
    guard let initial = initialValue(key) else { return nil }
    switch selection {
    case .current: return values[key] ?? initial
    case .defaultValue, .saved: return initial
    // All are changeable, none is saveable.
    case .capabilities: return 1 << 2 | (key.feature.isNamespaceSpecific ? 1 << 1 : 0)
    default: return nil
    }
  }

  private func initialValue(_ key: FeatureKey) -> UInt32? {
    switch key.feature {
    case .interruptVectorConfiguration: return key.part
    case .temperatureThreshold:
      let selectors = TemperatureThreshold(rawValue: key.part << 16)
      guard selectors.kind == 0 else { return key.part << 16 }
      let isComposite = selectors.sensor == TemperatureThreshold.composite
      return key.part << 16 | UInt32(isComposite ? Self.warningTemperature : .max)
    default: return initial[key.feature]
    }
  }

  /// Sets a value of a feature; reserved bits are dropped.
  mutating func set(_ key: FeatureKey, _ value: UInt32) {
    values[key] = value & key.feature.definedBits
    if key.feature == .volatileWriteCache { writeCache = value & 1 != 0 }
  }

  /// The queues that the host may create.
  var queueCounts: QueueCounts {
    QueueCounts(rawValue: value(FeatureKey(feature: .numberOfQueues)) ?? 0)
  }

  /// Whether the host has enabled an event.
  func reports(_ event: AsynchronousEvent) -> Bool {
    let configuration = value(FeatureKey(feature: .asynchronousEventConfiguration)) ?? 0
    return event.configurationBits.map { configuration & $0 != 0 } ?? true
  }

  /// A threshold of the composite temperature.
  func threshold(isUnder: Bool) -> UInt16 {
    let selectors = TemperatureThreshold(0, isUnder: isUnder).selectors
    let value = value(FeatureKey(feature: .temperatureThreshold, part: selectors)) ?? 0
    return TemperatureThreshold(rawValue: value).temperature
  }
}

extension AsynchronousEvent {
  /// The bits of Asynchronous Event Configuration, any of which enables the event; nil for one that is always
  /// enabled.
  fileprivate var configurationBits: UInt32? {
    switch (type, information) {
    case (1, Self.reliability.information): 0x3c
    case (1, Self.temperature.information): 1 << 1
    case (1, Self.spareLow.information): 1 << 0
    case (2, 0..<8): 1 << UInt32(8 + information)
    default: nil
    }
  }
}

extension Feature {
  /// Whether each namespace has a value of its own.
  var isNamespaceSpecific: Bool { self == .errorRecovery }

  /// The bits of the value that this controller implements.
  fileprivate var definedBits: UInt32 {
    switch self {
    case .arbitration: 0xffff_ff07
    case .powerManagement: 0xff
    case .temperatureThreshold: 0x3f_ffff
    case .errorRecovery, .interruptVectorConfiguration: 0x1_ffff
    case .volatileWriteCache, .writeAtomicityNormal, .hostMemoryBuffer: 1
    case .interruptCoalescing: 0xffff
    // The critical warnings, and the notices that OAES offers.
    case .asynchronousEventConfiguration: 0x3ff
    default: .max
    }
  }
}
