import NVMeSpec
import PCI

/// The purpose of an admin command: the low byte of its context in the admin queue pair.
enum AdminContext: UInt64 {
  /// The bring-up.
  case bringUp
  /// An Asynchronous Event Request, which completes with an event.
  case event
  /// A command that follows up an event: see `EventService`.
  case followUp
  /// An Abort of a command that took too long.
  case abort
  /// A blocking caller, in `execute`.
  case caller
  /// A non-blocking caller, in `request`.
  case request
}

/// The admin queue pair at work.
extension Controller {
  /// The answer to the last command that returned data.
  var answer: UnsafeRawBufferPointer { UnsafeRawBufferPointer(dataBuffer(IdentifyStructure.size)) }

  /// The first bytes of the memory that admin commands transfer to and from.
  func dataBuffer(_ count: Int) -> UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(start: adminData.base, count: count)
  }

  /// The command with its data in the first frame of the admin data.
  func withData(_ command: SubmissionEntry) -> SubmissionEntry {
    var command = command
    command.prp1 = adminData.address(0)
    return command
  }

  /// Collects and handles admin completions.
  func pollAdmin() {
    admin.readClock()
    if admin.hasCompletion || adminDue <= admin.now { collectAdmin() }
  }

  @inline(never)
  private func collectAdmin() {
    admin.reap(limit: Self.adminEntries)
    for end in admin.takeFinished() { handleAdmin(end) }
    if adminIsOverdue {
      counters.stuckAdminCommands += 1
      reset()
    }
    if state == .ready { serveEvents() }
    admin.ring()
  }

  private func handleAdmin(_ end: FinishedCommand) {
    switch AdminContext(rawValue: end.context & 0xff) {
    case .bringUp: bringUp.response = end
    case .caller: callerResponse = end
    case .request: pendingRequest?.end(end)
    case .abort: receiveAbort(end)
    case .event: receiveEvent(end)
    case .followUp: receiveFollowUp(end)
    case nil: break
    }
  }

  /// Whether one of the driver's own commands, an Abort or a follow-up, has exceeded its time limit.
  private var adminIsOverdue: Bool {
    guard state == .ready, aborts.isUnderWay || eventService.current != nil else { return false }
    return admin.hasOverdue(for: options.adminTimeout) {
      [.abort, .followUp].contains(AdminContext(rawValue: $0 & 0xff))
    }
  }

  /// Sets when to check the admin queue although nothing has completed.
  func setAdminDue() {
    adminDue = .max
    if eventService.requestsOwed > 0 { adminDue = eventService.intervalEnd }
    if aborts.isUnderWay || eventService.current != nil {
      adminDue = min(adminDue, admin.now + options.adminTimeout)
    }
  }

  // MARK: Commands for a blocking caller

  /// Carries out an admin command and waits for its end.
  /// - Parameters:
  ///   - command: the command; its data pointer is filled in.
  ///   - receiving: how many bytes it returns, at most 64 KiB.
  ///   - limit: how long it may take (ns), by default `options.adminTimeout`.
  /// - Returns: dword 0 of the completion and the bytes returned.
  /// - Throws: the command's error, or that the controller cannot be used.
  public func execute(
    _ command: SubmissionEntry, receiving: Int = 0, limit: UInt64? = nil
  ) throws(ControllerError) -> (result: UInt32, data: [UInt8]) {
    guard state == .ready else { throw failure ?? error(.notUsable) }
    let count = min(max(receiving, 0), Self.commandFrames * DMAArena.frameSize)
    dataBuffer(count).clear()
    callerResponse = nil
    guard admin.post(command, leading: count, of: adminData, context: AdminContext.caller.rawValue) else {
      throw error(.notUsable)
    }
    admin.ring()
    let end = try awaitCaller(limit ?? options.adminTimeout)
    guard end.end == .succeeded else {
      throw error(.command(CommandError(queue: 0, command: command, ended: end)))
    }
    return (end.result, Array(dataBuffer(count)))
  }

  /// Waits for the end of the command just sent. On a timeout the controller is reset, as the command's
  /// memory could not be reused otherwise.
  private func awaitCaller(_ limit: UInt64) throws(ControllerError) -> FinishedCommand {
    let deadline = now + limit
    var pause = Pause(self)
    while true {
      pollAdmin()
      if let end = callerResponse { return end }
      let status = controllerStatus
      if status.isGone {
        // An offline controller reaches no memory, and is reset before it takes another command.
        let failure = error(.removed)
        goOffline()
        throw failure
      }
      let isHealthy = isHealthy(status)
      guard isHealthy, now < deadline else {
        let reason: ControllerError.Reason = status.fatal ? .fatal : .resetItself
        let failure = error(isHealthy ? .commandTimeout(after: limit) : reason)
        if isHealthy { counters.stuckAdminCommands += 1 }
        reset()
        waitForReset()
        throw failure
      }
      pause.wait()
    }
  }
}

extension QueueMemory {
  /// Create I/O Completion Queue, for this memory.
  var createCompletionQueue: SubmissionEntry {
    SubmissionEntry(
      createCompletionQueue: identifier, entries: entries, at: completionAddress, vector: vector)
  }

  /// Create I/O Submission Queue, for this memory.
  func createSubmissionQueue(_ quirks: Quirks) -> SubmissionEntry {
    SubmissionEntry(
      createSubmissionQueue: identifier, entries: entries, at: submissionAddress,
      completionQueue: identifier, priority: quirks.contains(.mediumPriority) ? 2 : 0)
  }
}
