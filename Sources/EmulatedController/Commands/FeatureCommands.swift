import NVMeSpec

/// Get and Set Features (Base 2.0, sections 5.15 and 5.27).
extension Controller {
  mutating func getFeatures(_ command: FetchedCommand) -> Outcome {
    let entry = command.entry
    guard let value = features.value(entry.feature, entry.featureSelection) else {
      return .refused(.invalidField)
    }
    if entry.feature == .hostBehaviorSupport, entry.featureSelection != .capabilities {
      return sendHostBehavior(command)
    }
    return .done(.success, UInt64(value))
  }

  mutating func setFeatures(_ command: FetchedCommand) -> Outcome {
    let entry = command.entry
    guard !entry.saveFeature else { return .refused(.featureNotSaveable) }
    switch entry.feature {
    case .numberOfQueues: return setQueueCounts(QueueCounts(rawValue: entry.cdw11))
    case .hostBehaviorSupport: return receiveHostBehavior(command)
    case .hostMemoryBuffer: return setHostMemory(entry)
    case .volatileWriteCache:
      // What is in the cache goes to the medium before the cache is switched off.
      let status = features.set(entry.feature, entry.cdw11)
      return status.isSuccess && !features.writeCache
        ? synchronize(namespaces.identifiers.compactMap { namespaces[$0]?.medium }, command)
        : .done(status, 0)
    default: return .done(features.set(entry.feature, entry.cdw11), 0)
    }
  }

  /// Number of Queues: grants what is asked for, up to what there is.
  private mutating func setQueueCounts(_ asked: QueueCounts) -> Outcome {
    guard asked.submission <= 65_535, asked.completion <= 65_535 else { return .refused(.invalidField) }
    guard !queues.hasIOQueues else { return .refused(.commandSequenceError) }
    let granted = QueueCounts(
      submission: min(asked.submission, configuration.queuePairs),
      completion: min(asked.completion, configuration.queuePairs))
    let status = features.set(.numberOfQueues, granted.rawValue)
    return .done(status, UInt64(granted.rawValue))
  }

  private mutating func sendHostBehavior(_ command: FetchedCommand) -> Outcome {
    let buffer = UnsafeMutableRawBufferPointer(rebasing: scratch[..<HostBehavior.size])
    features.hostBehavior.encode(into: buffer)
    return send(UnsafeRawBufferPointer(buffer), for: command)
  }

  private mutating func receiveHostBehavior(_ command: FetchedCommand) -> Outcome {
    let status = receive(HostBehavior.size, for: command)
    if status.isSuccess { features.hostBehavior = HostBehavior(decoding: UnsafeRawBufferPointer(scratch)) }
    return .done(status, 0)
  }
}
