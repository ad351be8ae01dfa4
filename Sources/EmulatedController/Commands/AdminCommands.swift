import NVMeSpec

/// The admin commands (Base 2.0, section 5).
extension ControllerModel {
  @inline(never)
  mutating func executeAdmin(_ command: FetchedCommand) -> Outcome {
    let entry = command.entry
    // Over PCIe admin commands use PRPs, and none is fused.
    guard entry.fused == 0, entry.dataPointer == .prp else { return .refused(.invalidField) }
    return switch AdminOpcode(rawValue: entry.opcode) {
    case .identify: identify(command)
    case .createCompletionQueue: createCompletionQueue(entry)
    case .createSubmissionQueue: createSubmissionQueue(entry)
    case .deleteSubmissionQueue: deleteSubmissionQueue(entry)
    case .deleteCompletionQueue: deleteCompletionQueue(entry)
    case .getLogPage: getLogPage(command)
    case .getFeatures: getFeatures(command)
    case .setFeatures: setFeatures(command)
    case .abort: abort(entry)
    case .asynchronousEventRequest: requestEvent(command)
    case .formatNVM: format(entry)
    case .doorbellBufferConfig where configuration.shadowDoorbells: configureDoorbells(entry)
    default: .refused(.invalidOpcode)
    }
  }

  /// Abort. A command that has not been carried out is dropped; one that a worker thread executes is not
  /// stopped.
  private mutating func abort(_ entry: SubmissionEntry) -> Outcome {
    let (identifier, queue) = (entry.abortIdentifier, entry.abortQueue)
    let found =
      queue == 0
      ? events.remove(identifier: identifier)
      : deferred.take { $0.queue == queue && $0.entry.commandIdentifier == identifier }
    guard let found else { return .done(.success, 1) }
    finish(found, Status(.abortRequested))
    return .success
  }

  private mutating func requestEvent(_ command: FetchedCommand) -> Outcome {
    guard events.keep(command) else { return .refused(.asynchronousEventLimitExceeded) }
    completeEventRequests()
    return .pending
  }

  /// Completes Asynchronous Event Requests with the queued events.
  mutating func completeEventRequests() {
    while let (request, event) = events.next() { finish(request, .success, UInt64(event.rawValue)) }
  }

  /// Queues an event that no command has caused; warnings and notices only if the host has enabled them.
  @inline(never)
  mutating func report(_ event: AsynchronousEvent) {
    if event.log == .error {
      var entry = ErrorLogEntry()
      entry.submissionQueue = .max
      entry.commandIdentifier = .max
      entry.parameterLocation = .max
      errorLog.append(entry)
    }
    guard features.reports(event) else { return }
    events.add(event)
    completeEventRequests()
    raiseInterrupts()
  }

  /// Format NVM: a namespace loses its contents and may change its block size or the type of its protection
  /// information. The namespace reads as zeros afterwards, whichever secure erase (data or cryptographic) the
  /// command asks for.
  private mutating func format(_ entry: SubmissionEntry) -> Outcome {
    let identifiers =
      entry.namespace == SubmissionEntry.allNamespaces
      ? Array(namespaces.identifiers) : [entry.namespace]
    // Metadata is in a separate buffer, with protection information in its last bytes.
    guard entry.secureErase <= 2 else { return .refused(.invalidField) }
    for identifier in identifiers {
      guard let namespace = namespaces[identifier] else { return .refused(.invalidNamespaceOrFormat) }
      guard Int(entry.formatIndex) < namespace.formats.count,
        namespace.mayHave(protectionType: entry.formatProtection),
        namespace.metadataSize == 0 || !entry.extendedMetadata && !entry.protectionFirst
      else { return .refused(.invalidFormat) }
      guard !namespace.isWriteProtected else { return .refused(.namespaceWriteProtected) }
    }
    completeWork()
    for identifier in identifiers {
      guard let namespace = namespaces[identifier] else { continue }
      let failure = namespace.medium.zero(at: 0, count: namespace.medium.size)
      guard failure == 0 else { return .done(Self.writeError(failure), 0) }
      let shift = Int(namespace.formats[Int(entry.formatIndex)].exponent)
      let unkept = namespaces.setFormat(identifier, shift, protectionType: entry.formatProtection)
      guard unkept == 0 else { return .done(Self.writeError(unkept), 0) }
      let durable = namespace.medium.synchronize()
      guard durable == 0 else { return .done(Self.writeError(durable), 0) }
    }
    if records { restartRecorder() }
    return .success
  }
}
