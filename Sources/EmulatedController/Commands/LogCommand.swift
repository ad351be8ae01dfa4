import NVMeSpec

/// Get Log Page (Base 2.0, section 5.16).
extension ControllerModel {
  mutating func getLogPage(_ command: FetchedCommand) -> Outcome {
    let entry = command.entry
    let length = entry.logLength
    guard length <= UInt64(min(maximumBytes, 1 << 24)) else { return .refused(.invalidField) }
    if entry.logPage == .smart {
      readClock()
      // Counters that the host has read must not go back when the process is killed.
      keepCounters()
    }
    guard let page = page(entry.logPage) else { return .refused(.invalidLogPage) }
    // All log pages cover the whole controller: LPA does not offer SMART by namespace.
    guard entry.namespace == 0 || entry.namespace == SubmissionEntry.allNamespaces else {
      return .refused(.invalidField)
    }
    guard entry.logOffset <= UInt64(page.count), entry.logOffset & 3 == 0 else {
      return .refused(.invalidField)
    }
    // Bytes beyond the page's end are zeros.
    var bytes = Array(page[Int(entry.logOffset)...].prefix(Int(length)))
    bytes += repeatElement(0, count: Int(length) - bytes.count)
    let outcome = bytes.withUnsafeBytes { send($0, for: command) }
    if !entry.retainEvent, case .done(let status, _) = outcome, status.isSuccess {
      if entry.logPage == .changedNamespaces { changedNamespaces = ChangedNamespaceLog() }
      events.unmask(entry.logPage)
      completeEventRequests()
    }
    return outcome
  }

  private func page(_ log: LogPage) -> [UInt8]? {
    switch log {
    case .error: errorLog.page
    case .smart: encoded(SMARTLog.size) { smartLog.encode(into: $0) }
    case .firmwareSlots: encoded(FirmwareSlotLog.size) { firmwareLog.encode(into: $0) }
    case .changedNamespaces: encoded(ChangedNamespaceLog.size) { changedNamespaces.encode(into: $0) }
    case .commandEffects: encoded(CommandEffectsLog.size) { commandEffects.encode(into: $0) }
    default: nil
    }
  }

  private var smartLog: SMARTLog {
    var log = SMARTLog()
    let counters = counters
    log.criticalWarning = criticalWarning | (hasReachedThreshold ? 1 << 1 : 0)
    log.temperature = temperature
    log.availableSpare = 100
    log.spareThreshold = 10
    let unit = 512_000
    log.dataUnitsRead = UInt128((counters.bytesRead + unit - 1) / unit)
    log.dataUnitsWritten = UInt128((counters.bytesWritten + unit - 1) / unit)
    log.readCommands = UInt128(counters.reads)
    log.writeCommands = UInt128(counters.writes)
    log.powerCycles = UInt128(counters.powerCycles)
    log.powerOnHours = UInt128(counters.secondsOn / 3600)
    log.unsafeShutdowns = UInt128(counters.unsafeShutdowns)
    log.mediaErrors = UInt128(counters.mediaErrors)
    log.errorLogEntries = UInt128(counters.errors)
    return log
  }

  private var firmwareLog: FirmwareSlotLog {
    var log = FirmwareSlotLog()
    log.activeSlot = 1
    log.revisions[0] = Self.firmwareRevision
    return log
  }

  /// Exactly the commands that this controller carries out.
  private var commandEffects: CommandEffectsLog {
    var log = CommandEffectsLog()
    let admin: [AdminOpcode] = [
      .deleteSubmissionQueue, .createSubmissionQueue, .getLogPage, .deleteCompletionQueue,
      .createCompletionQueue, .identify, .abort, .setFeatures, .getFeatures, .asynchronousEventRequest,
    ]
    for opcode in admin { log.admin[opcode] = .supported }
    log.admin[.formatNVM] = [.supported, .changesData, .changesNamespace]
    if configuration.shadowDoorbells { log.admin[.doorbellBufferConfig] = .supported }
    log.io = [.flush: .supported, .read: .supported, .write: [.supported, .changesData]]
    let offered = configuration.ioCommands
    if offered.contains(.compare) { log.io[.compare] = .supported }
    if offered.contains(.verify) { log.io[.verify] = .supported }
    if offered.contains(.writeZeroes) { log.io[.writeZeroes] = [.supported, .changesData] }
    if offered.contains(.datasetManagement) { log.io[.datasetManagement] = [.supported, .changesData] }
    return log
  }

  private func encoded(_ size: Int, _ encode: (UnsafeMutableRawBufferPointer) -> Void) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: size) { bytes, count in
      encode(UnsafeMutableRawBufferPointer(bytes))
      count = size
    }
  }
}
