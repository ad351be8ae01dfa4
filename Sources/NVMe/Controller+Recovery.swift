import NVMeSpec
import PCI

/// Recovery when commands do not complete: CSTS is read, the queue polled once more, the command aborted, the
/// controller reset. No command's end is reported before the controller can no longer reach its memory.
extension Controller {
  /// Checks the controller's health and the age of a queue pair's commands.
  @inline(never)
  func watch(_ queue: inout QueuePair) {
    queue.nextWatch = queue.now + options.watchInterval
    guard queue.inFlight > 0 else { return }
    let status = controllerStatus
    if status.isGone {
      goOffline()
      return state == .failed ? resume(&queue) : ()
    }
    guard isHealthy(status) else { return reset() }
    guard !isPaused(status), queue.hasOverdue(for: options.commandTimeout, since: lastPause) else { return }
    queue.reap(limit: queue.depth)
    if queue.hasSkippedCompletion || abortOverdue(in: &queue) { reset() }
  }

  /// Whether CSTS shows no failure of a controller that has been brought up; otherwise it has to be reset.
  func isHealthy(_ status: ControllerStatus) -> Bool {
    if status.fatal {
      counters.fatalErrors += 1
    } else if !status.ready {
      counters.lostReadiness += 1
      // A function reset restores what else may have been lost, such as interrupts.
      bringUp.failures = max(bringUp.failures, 1)
    } else {
      return true
    }
    return false
  }

  // MARK: Abort

  /// Sends Abort for commands that exceed the time limit.
  /// - Returns: whether a command is still in flight although its Abort has ended or timed out: only a reset
  ///   helps.
  private func abortOverdue(in queue: inout QueuePair) -> Bool {
    var mustReset = false
    for index in 0..<queue.depth {
      let tracker = queue.trackers[index]
      guard tracker.pointee.state == .inFlight else { continue }
      let age = queue.now &- max(tracker.pointee.time, lastPause)
      guard age >= options.commandTimeout else { continue }
      if !tracker.pointee.history.timedOut {
        tracker.pointee.history.timedOut = true
        queue.counts.timeouts += 1
      }
      if isPastAbort(tracker.pointee, age, queue: queue.identifier) {
        counters.stuckCommands += 1
        mustReset = true
      } else if !tracker.pointee.history.abortSent {
        tracker.pointee.history.abortSent = sendAbort(tracker.pointee.commandID, queue: queue.identifier)
      }
    }
    // The Abort's effect is checked for within its own, shorter limit.
    queue.nextWatch = queue.now + min(options.watchInterval, options.abortTimeout)
    return mustReset
  }

  /// Whether an Abort can no longer end a command. After an Abort has ended, the command was either aborted,
  /// and its completion ought to be there, or the controller reports that it could not abort it.
  private func isPastAbort(_ tracker: Tracker, _ age: UInt64, queue: UInt16) -> Bool {
    if age >= options.commandTimeout + options.abortTimeout { return true }
    return tracker.history.abortSent && aborts.takeEnd(command: tracker.commandID, queue: queue)
  }

  /// Sends an Abort, if no more than ACL allows are outstanding.
  private func sendAbort(_ command: UInt16, queue: UInt16) -> Bool {
    guard aborts.count <= Int(identity.abortLimit) else { return false }
    let abort = SubmissionEntry(abort: command, queue: queue)
    let context = UInt64(queue) << 24 | UInt64(command) << 8 | AdminContext.abort.rawValue
    guard admin.post(abort, context: context) != nil else { return false }
    admin.ring()
    aborts.begin()
    counters.aborts += 1
    setAdminDue()
    return true
  }

  /// An Abort has ended.
  func receiveAbort(_ end: FinishedCommand) {
    if end.end == .succeeded, end.result & 1 == 0 { counters.commandsAborted += 1 }
    aborts.end(
      command: UInt16(truncatingIfNeeded: end.context >> 8),
      queue: UInt16(truncatingIfNeeded: end.context >> 24))
  }

  // MARK: Reset

  /// Begins a reset; `poll` advances it.
  public func reset() {
    guard state == .ready else { return }
    restart()
  }

  /// Handles an uncorrectable error of the function that the bus has reported: transfers may have been lost,
  /// so the controller and its function are reset, as Linux does. The caller waits for
  /// `PCIFunction.errorDescriptor`.
  public func handleBusError() {
    counters.busErrors += 1
    bringUp.failures = max(bringUp.failures, 1)
    reset()
  }

  private func restart() {
    counters.resets += 1
    // A reset from outside may have cleared the configuration space as well.
    function.restoreChannel()
    function.setBusMaster(true)
    do throws(ControllerError) {
      try enter(.disabling)
    } catch {
      fail(error)
    }
  }

  /// Advances a reset. A bring-up that fails is begun again a few times, each time with a function-level
  /// reset.
  @inline(never)
  func recover() {
    guard state != .failed, state != .closed else { return }
    guard state != .offline else { return probeChannel() }
    do throws(ControllerError) {
      try advance()
    } catch {
      if error.isRemoved { return goOffline() }
      bringUp.failures += 1
      if !error.mayPass || bringUp.failures > options.maximumResets {
        fail(error)
      } else {
        restart()
      }
    }
  }

  /// Waits until a running reset has succeeded or failed, or the controller is offline.
  func waitForReset() {
    var pause = Pause(self)
    while ![.ready, .offline, .failed, .closed].contains(state) {
      recover()
      pause.wait()
    }
  }

  // MARK: Offline

  /// How often an offline controller is probed (ns).
  private static let offlineInterval: UInt64 = 10 * .millisecond

  /// The registers read as all ones: the driver waits for the controller, or gives it up at once where it
  /// will not come back.
  func goOffline() {
    if bringUp.offlineEnd == nil {
      counters.lostChannels += 1
      bringUp.offlineEnd = now + min(options.offlineTimeout, .max - now)
    }
    state = .offline
    probeChannel()
  }

  /// Checks whether an offline controller answers again. Completions may have been lost, and it may have been
  /// reset, so a function reset and a bring-up follow.
  private func probeChannel() {
    guard !function.isTakenAway, now < bringUp.offlineEnd ?? 0 else { return fail(error(.removed)) }
    bringUp.nextStep = now + Self.offlineInterval
    _ = function.service(now: now)
    function.restoreChannel()
    guard !controllerStatus.isGone else { return }
    bringUp.failures = 1
    restart()
  }

  /// Fails the controller, after making sure that it no longer reaches memory.
  func fail(_ reason: ControllerError) {
    guard state != .closed else { return }
    failure = reason
    if !reason.isRemoved { stopAtOnce() }
    function.setBusMaster(false)
    state = .failed
    didStop()
  }

  /// Stops a controller that does not respond, without waiting for CSTS.RDY to follow CC.EN.
  private func stopAtOnce() {
    disable()
    guard controllerStatus.ready else { return }
    // If this fails too, disabling bus mastering still stops its DMA.
    try? function.reset()
  }

  /// Takes back the commands in flight when the controller has stopped since the queue pair's last poll.
  @inline(never)
  func resume(_ queue: inout QueuePair) {
    queue.generation = generation
    let isLost = state == .failed || state == .closed
    queue.cancelAll(end: failure?.isGone == true ? .removed : .interrupted, mayResubmit: !isLost)
  }
}
