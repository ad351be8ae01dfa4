import NVMeSpec

/// Get and Set Features (Base 2.0, sections 5.15 and 5.27).
extension ControllerModel {
  mutating func getFeatures(_ command: FetchedCommand) -> Outcome {
    let entry = command.entry
    let selection = entry.featureSelection
    guard features.has(entry.feature) else { return .refused(.invalidField) }
    // A feature's capabilities are the same for all its values.
    if selection != .capabilities, let refusal = refusalToGet(entry) { return .refused(refusal) }
    guard let value = features.value(key(of: entry), selection) else { return .refused(.invalidField) }
    switch entry.feature {
    case .hostBehaviorSupport where selection != .capabilities:
      return sendHostBehavior(selection == .current ? features.hostBehavior : HostBehavior(), command)
    case .timestamp where selection != .capabilities:
      return sendTimestamp(isCurrent: selection == .current, command)
    case .hostIdentifier where selection != .capabilities:
      return sendHostIdentifier(isCurrent: selection == .current, command)
    case .hostMemoryBuffer where selection != .capabilities:
      return sendHostMemory(selection == .current ? hostMemory : HostMemoryAttributes(), value, command)
    default: return .done(.success, UInt64(value))
    }
  }

  mutating func setFeatures(_ command: FetchedCommand) -> Outcome {
    let entry = command.entry
    guard !entry.saveFeature else { return .refused(.featureNotSaveable) }
    guard features.has(entry.feature) else { return .refused(.invalidField) }
    if let refusal = refusalToSet(entry) { return .refused(refusal) }
    switch entry.feature {
    case .numberOfQueues: return setQueueCounts(QueueCounts(rawValue: entry.cdw11))
    case .hostBehaviorSupport: return receiveHostBehavior(command)
    case .timestamp: return receiveTimestamp(command)
    case .hostIdentifier: return receiveHostIdentifier(command)
    case .hostMemoryBuffer: return setHostMemory(entry)
    case .asynchronousEventConfiguration: return configureEvents(entry.cdw11)
    case .temperatureThreshold: return setThreshold(TemperatureThreshold(rawValue: entry.cdw11))
    case .errorRecovery where entry.namespace == SubmissionEntry.allNamespaces:
      for namespace in namespaces.identifiers {
        features.set(FeatureKey(feature: .errorRecovery, part: namespace), entry.cdw11)
      }
      return .success
    case .volatileWriteCache:
      features.set(key(of: entry), entry.cdw11)
      // The cache is flushed to the medium before it is switched off.
      guard !features.writeCache else { return .success }
      return synchronize(namespaces.identifiers.compactMap { namespaces[$0]?.medium }, command)
    default:
      features.set(key(of: entry), entry.cdw11)
      return .success
    }
  }

  /// The value that a command names.
  private func key(of entry: SubmissionEntry) -> FeatureKey {
    switch entry.feature {
    case .errorRecovery: FeatureKey(feature: entry.feature, part: entry.namespace)
    case .interruptVectorConfiguration: FeatureKey(feature: entry.feature, part: entry.cdw11 & 0xffff)
    case .temperatureThreshold:
      FeatureKey(feature: entry.feature, part: TemperatureThreshold(rawValue: entry.cdw11).selectors)
    default: FeatureKey(feature: entry.feature)
    }
  }

  /// The status of a Get Features that is refused; nil when the value can be read.
  private func refusalToGet(_ entry: SubmissionEntry) -> StatusCode? {
    switch entry.feature {
    case .errorRecovery: return namespaces[entry.namespace] == nil ? .invalidNamespaceOrFormat : nil
    case .interruptVectorConfiguration: return hasVector(entry.cdw11 & 0xffff) ? nil : .invalidField
    case .temperatureThreshold:
      let threshold = TemperatureThreshold(rawValue: entry.cdw11)
      return threshold.kind <= 1 && threshold.sensor <= Self.lastSensor ? nil : .invalidField
    default: return nil
    }
  }

  /// The status of a Set Features that is refused; nil when the value can be set.
  private func refusalToSet(_ entry: SubmissionEntry) -> StatusCode? {
    let isForAll = entry.namespace == SubmissionEntry.allNamespaces
    guard isForAll || entry.feature.isNamespaceSpecific || entry.namespace == 0 else {
      return namespaces[entry.namespace] == nil ? .invalidNamespaceOrFormat : .featureNotNamespaceSpecific
    }
    switch entry.feature {
    // NPSS is 0: power state 0 is the only one.
    case .powerManagement: return entry.cdw11 & 0x1f == 0 ? nil : .invalidField
    case .errorRecovery:
      if !isForAll, namespaces[entry.namespace] == nil { return .invalidNamespaceOrFormat }
      // DULBE: NSFEAT does not offer errors of deallocated blocks.
      return entry.cdw11 & 1 << 16 == 0 ? nil : .invalidField
    case .temperatureThreshold:
      let threshold = TemperatureThreshold(rawValue: entry.cdw11)
      let isEvery = threshold.sensor == TemperatureThreshold.everySensor
      return threshold.kind <= 1 && isEvery ? nil : refusalToGet(entry)
    default: return refusalToGet(entry)
    }
  }

  /// The highest TMPSEL of a sensor.
  private static var lastSensor: UInt8 { 8 }

  /// Whether completion queues may use an interrupt vector.
  func hasVector(_ vector: UInt32) -> Bool { vector < (interrupts.isEnabled ? interrupts.vectors : 1) }

  /// Number of Queues: grants the requested number, up to the configured one.
  private mutating func setQueueCounts(_ asked: QueueCounts) -> Outcome {
    guard asked.submission <= 65_535, asked.completion <= 65_535 else { return .refused(.invalidField) }
    guard !queues.hasMadeQueues else { return .refused(.commandSequenceError) }
    // The number granted first is kept until a reset.
    guard !features.hasGrantedQueues else { return .done(.success, UInt64(features.queueCounts.rawValue)) }
    features.hasGrantedQueues = true
    let granted = QueueCounts(
      submission: min(asked.submission, configuration.queuePairs),
      completion: min(asked.completion, configuration.queuePairs))
    features.set(FeatureKey(feature: .numberOfQueues), granted.rawValue)
    return .done(.success, UInt64(granted.rawValue))
  }

  /// Asynchronous Event Configuration: a critical warning that is already set is reported when the host
  /// enables it.
  private mutating func configureEvents(_ value: UInt32) -> Outcome {
    let key = FeatureKey(feature: .asynchronousEventConfiguration)
    let news = value & ~(features.value(key) ?? 0)
    features.set(key, value)
    let warning = UInt32(criticalWarning) & news
    if warning & 1 != 0 { report(.spareLow) }
    if warning & 0x3c != 0 { report(.reliability) }
    if news & 1 << 1 != 0, hasReachedThreshold || warning & 1 << 1 != 0 { report(.temperature) }
    return .success
  }

  /// Temperature Threshold: the event comes at once where the temperature has reached the new threshold.
  private mutating func setThreshold(_ threshold: TemperatureThreshold) -> Outcome {
    let isEvery = threshold.sensor == TemperatureThreshold.everySensor
    for sensor in isEvery ? 0...Self.lastSensor : threshold.sensor...threshold.sensor {
      let one = TemperatureThreshold(threshold.temperature, sensor: sensor, isUnder: threshold.kind == 1)
      features.set(FeatureKey(feature: .temperatureThreshold, part: one.selectors), one.rawValue)
    }
    if hasReachedThreshold { report(.temperature) }
    return .success
  }

  private mutating func sendHostBehavior(_ behavior: HostBehavior, _ command: FetchedCommand) -> Outcome {
    let buffer = UnsafeMutableRawBufferPointer(rebasing: scratch[..<HostBehavior.size])
    behavior.encode(into: buffer)
    return send(UnsafeRawBufferPointer(buffer), for: command)
  }

  private mutating func receiveHostBehavior(_ command: FetchedCommand) -> Outcome {
    let status = receive(HostBehavior.size, for: command)
    if status.isSuccess { features.hostBehavior = HostBehavior(decoding: UnsafeRawBufferPointer(scratch)) }
    return .done(status, 0)
  }

  /// Timestamp counts on from the value that was set, or from 0 at the reset.
  private mutating func sendTimestamp(isCurrent: Bool, _ command: FetchedCommand) -> Outcome {
    var value = TimestampValue(milliseconds: 0)
    if isCurrent {
      readClock()
      let passed = (now - min(now, features.timestamp.at)) / 1_000_000
      let set = features.timestamp.value
      value = TimestampValue(milliseconds: set.milliseconds &+ passed, isSet: set.isSet)
    }
    let buffer = UnsafeMutableRawBufferPointer(rebasing: scratch[..<TimestampValue.size])
    value.encode(into: buffer)
    return send(UnsafeRawBufferPointer(buffer), for: command)
  }

  private mutating func receiveTimestamp(_ command: FetchedCommand) -> Outcome {
    let status = receive(TimestampValue.size, for: command)
    if status.isSuccess {
      readClock()
      let value = TimestampValue(decoding: UnsafeRawBufferPointer(scratch))
      features.timestamp = (TimestampValue(milliseconds: value.milliseconds, isSet: true), now)
    }
    return .done(status, 0)
  }

  /// Host Identifier of 16 bytes with EXHID, of 8 without.
  private mutating func sendHostIdentifier(isCurrent: Bool, _ command: FetchedCommand) -> Outcome {
    let buffer = UnsafeMutableRawBufferPointer(rebasing: scratch[..<command.entry.hostIdentifierSize])
    buffer.clear()
    if isCurrent { buffer.put(bytes: features.hostIdentifier.prefix(buffer.count), at: 0) }
    return send(UnsafeRawBufferPointer(buffer), for: command)
  }

  private mutating func receiveHostIdentifier(_ command: FetchedCommand) -> Outcome {
    let size = command.entry.hostIdentifierSize
    let status = receive(size, for: command)
    if status.isSuccess {
      features.hostIdentifier = Array(scratch[..<size]) + [UInt8](repeating: 0, count: 16 - size)
    }
    return .done(status, 0)
  }
}

extension SubmissionEntry {
  /// Bytes of the host identifier that the command transfers (EXHID; Base 2.0, section 5.27.1.25).
  fileprivate var hostIdentifierSize: Int { cdw11 & 1 != 0 ? 16 : 8 }
}
