import NVMeSpec
import PCI

/// What an admin command was sent for: its context in the admin queue pair.
enum AdminContext: UInt64 {
  /// The bring-up.
  case bringUp
  /// An Asynchronous Event Request, which waits until there is an event.
  case event
  /// Get Log Page for the log of an event, so that the next event of its kind may come.
  case eventLog
  /// An Abort of a command that took too long.
  case abort
  /// A caller that waits, in `execute`.
  case caller
  /// A caller that does not wait, in `request`.
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

  /// Collects admin completions and deals with each.
  func pollAdmin() {
    guard admin.hasCompletion else { return }
    admin.now = now
    admin.reap(limit: Self.adminEntries)
    for end in admin.takeFinished() { handleAdmin(end) }
    admin.ring()
  }

  private func handleAdmin(_ end: FinishedCommand) {
    switch AdminContext(rawValue: end.context) {
    case .bringUp: bringUp.response = end
    case .caller: callerResponse = end
    case .request: pendingRequest?.end(end)
    case .abort: aborts -= 1
    case .event: if end.end == .succeeded { receive(AsynchronousEvent(rawValue: end.result)) }
    case .eventLog, nil: break
    }
  }

  // MARK: Asynchronous events

  /// The most Asynchronous Event Requests kept outstanding.
  private static let eventRequests = 4

  /// Sends the Asynchronous Event Requests that stay outstanding.
  func requestEvents() {
    let count = min(Int(identity.asynchronousEventLimit) + 1, Self.eventRequests)
    for _ in 0..<count {
      admin.post(SubmissionEntry(.asynchronousEventRequest), context: AdminContext.event.rawValue)
    }
    admin.ring()
  }

  /// Records an event, reads the log it names so that the next of its kind may come, and asks for another.
  private func receive(_ event: AsynchronousEvent) {
    events.append(event)
    var read = SubmissionEntry(getLogPage: event.log, length: DMAArena.frameSize / 8)
    read.prp1 = adminData.address(Self.eventFrame)
    admin.post(read, context: AdminContext.eventLog.rawValue)
    admin.post(SubmissionEntry(.asynchronousEventRequest), context: AdminContext.event.rawValue)
  }

  // MARK: Commands for a caller who waits

  /// Carries out an admin command and waits for its end.
  /// - Parameters:
  ///   - command: the command; its data pointer is filled in.
  ///   - receiving: how many bytes it returns, at most 64 KiB.
  /// - Returns: dword 0 of the completion and the bytes returned.
  /// - Throws: the command's error, or that the controller cannot be used.
  public func execute(
    _ command: SubmissionEntry, receiving: Int = 0
  ) throws(ControllerError) -> (result: UInt32, data: [UInt8]) {
    guard state == .ready else { throw failure ?? error(.notUsable) }
    let count = min(max(receiving, 0), Self.commandFrames * DMAArena.frameSize)
    dataBuffer(count).clear()
    callerResponse = nil
    guard admin.post(command, leading: count, of: adminData, context: AdminContext.caller.rawValue) else {
      throw error(.notUsable)
    }
    admin.ring()
    let end = try awaitCaller()
    guard end.end == .succeeded else {
      throw error(.command(CommandError(queue: 0, command: command, ended: end)))
    }
    return (end.result, Array(dataBuffer(count)))
  }

  /// Waits for the end of the command just sent. One that does not come back costs the controller a reset: its
  /// memory could not be used again otherwise.
  private func awaitCaller() throws(ControllerError) -> FinishedCommand {
    let deadline = now + options.adminTimeout
    var pause = Pause(self)
    while true {
      pollAdmin()
      if let end = callerResponse { return end }
      let status = controllerStatus
      if status.isGone {
        let failure = error(.removed)
        fail(failure)
        throw failure
      }
      guard !status.fatal, now < deadline else {
        let failure = error(status.fatal ? .fatal : .commandTimeout(after: options.adminTimeout))
        reset()
        settle()
        throw failure
      }
      pause.wait()
    }
  }

  /// Reads a log page.
  /// - Parameters:
  ///   - page: which.
  ///   - namespace: a namespace identifier, by default all.
  ///   - length: how many bytes, a multiple of 4.
  public func readLog(
    _ page: LogPage, namespace: UInt32 = SubmissionEntry.allNamespaces, length: Int
  ) throws(ControllerError) -> [UInt8] {
    let limit = Int(capabilities.transferFrames) * DMAArena.frameSize
    let most = min(limit, Self.commandFrames * DMAArena.frameSize)
    var log: [UInt8] = []
    while log.count < length {
      let part = min(length - log.count, most)
      let command = SubmissionEntry(
        getLogPage: page, namespace: namespace, length: part, offset: UInt64(log.count))
      log += try execute(command, receiving: part).data
    }
    return log
  }
}

extension QueueMemory {
  /// Create I/O Completion Queue, for this memory.
  var createCompletionQueue: SubmissionEntry {
    SubmissionEntry(
      createCompletionQueue: identifier, entries: entries, at: completionAddress, vector: vector)
  }

  /// Create I/O Submission Queue, for this memory.
  var createSubmissionQueue: SubmissionEntry {
    SubmissionEntry(
      createSubmissionQueue: identifier, entries: entries, at: submissionAddress,
      completionQueue: identifier)
  }
}
