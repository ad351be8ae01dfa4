import NVMeSpec

/// The values of the features the host may read and change.
struct FeatureTable {
  /// What Get Features says of a feature.
  private struct Entry {
    var value: UInt32
    let initial: UInt32
    let isChangeable: Bool

    init(_ initial: UInt32, isChangeable: Bool = true) {
      value = initial
      self.initial = initial
      self.isChangeable = isChangeable
    }
  }

  private var entries: [Feature: Entry] = [
    .arbitration: Entry(0),
    .powerManagement: Entry(0),
    .temperatureThreshold: Entry(0x157),
    .errorRecovery: Entry(0),
    .volatileWriteCache: Entry(1),
    .numberOfQueues: Entry(0),
    .interruptCoalescing: Entry(0),
    .interruptVectorConfiguration: Entry(0),
    .writeAtomicityNormal: Entry(0),
    .asynchronousEventConfiguration: Entry(0),
    .hostBehaviorSupport: Entry(0),
  ]

  /// Whether the volatile write cache is on, for the path of a write.
  private(set) var writeCache = true
  /// What the host said of itself. (The controller has no reason of its own to tell a retry delay; a fault rule's
  /// status is shown as it is.)
  var hostBehavior = HostBehavior()

  /// Gives the controller's own values in place of the specification's.
  init(_ configuration: EmulatedController.Configuration) {
    let pairs = configuration.queuePairs
    entries[.numberOfQueues] = Entry(QueueCounts(submission: pairs, completion: pairs).rawValue)
    entries[.volatileWriteCache] = configuration.volatileWriteCache ? Entry(1) : nil
    writeCache = configuration.volatileWriteCache
  }

  /// The value of a feature; nil when there is no such feature.
  func value(_ feature: Feature, _ selection: FeatureSelection) -> UInt32? {
    guard let entry = entries[feature] else { return nil }
    switch selection {
    case .current: return entry.value
    case .defaultValue, .saved: return entry.initial
    // Nothing can be saved and nothing belongs to one namespace.
    case .capabilities: return entry.isChangeable ? 1 << 2 : 0
    default: return nil
    }
  }

  /// Changes a feature.
  /// - Returns: success, or why not.
  mutating func set(_ feature: Feature, _ value: UInt32) -> Status {
    guard let entry = entries[feature] else { return Status(.invalidField, doNotRetry: true) }
    guard entry.isChangeable else { return Status(.featureNotChangeable, doNotRetry: true) }
    entries[feature]?.value = value
    if feature == .volatileWriteCache { writeCache = value & 1 != 0 }
    return .success
  }
}
