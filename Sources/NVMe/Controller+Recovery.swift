import NVMeSpec
import PCI

/// What happens when commands do not come back: CSTS is looked at, the queue polled once more, the command
/// aborted, the controller reset. No command's end is reported before the controller can no longer reach its
/// memory.
extension Controller {
  /// Looks at the controller's health and at the age of a queue pair's commands.
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

  /// Whether a controller that has been brought up still is what it was; if not, it has to be reset.
  func isHealthy(_ status: ControllerStatus) -> Bool {
    if status.fatal {
      counters.fatalErrors += 1
    } else if !status.ready {
      counters.lostReadiness += 1
      // A function reset brings back what else may have been lost, such as interrupts.
      bringUp.failures = max(bringUp.failures, 1)
    } else {
      return true
    }
    return false
  }

  // MARK: Abort

  /// Sends Abort for commands that take too long.
  /// - Returns: whether a command is still there although its Abort has ended, or had its time: only a reset
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
    // An Abort's end is to be heard of soon.
    queue.nextWatch = queue.now + min(options.watchInterval, options.abortTimeout)
    return mustReset
  }

  /// Whether an Abort has had its chance to bring a command back. One that ended has: either the command was
  /// aborted and its completion ought to be there, or the controller says that it could not abort it.
  private func isPastAbort(_ tracker: Tracker, _ age: UInt64, queue: UInt16) -> Bool {
    if age >= options.commandTimeout + options.abortTimeout { return true }
    return tracker.history.abortSent && aborts.takeEnd(command: tracker.commandID, queue: queue)
  }

  /// Sends an Abort, if no more than ACL allows are under way.
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

  /// Begins a reset; `poll` carries it on.
  public func reset() {
    guard state == .ready else { return }
    restart()
  }

  /// The bus has reported an uncorrectable error of the function: what it did may have been lost on the way,
  /// and it is reset, the function too, as Linux does. Called by whoever waits for
  /// `PCIFunction.errorDescriptor`.
  public func handleBusError() {
    counters.busErrors += 1
    bringUp.failures = max(bringUp.failures, 1)
    reset()
  }

  private func restart() {
    counters.resets += 1
    // Whatever reset the controller may have reset its configuration as well.
    function.restoreChannel()
    function.setBusMaster(true)
    do throws(ControllerError) {
      try enter(.disabling)
    } catch {
      fail(error)
    }
  }

  /// Carries a reset on. A bring-up that fails is begun again a few times, each time with a function-level
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

  /// Waits until a reset that is under way has ended, well or not, or the controller is offline.
  func waitForReset() {
    var pause = Pause(self)
    while ![.ready, .offline, .failed, .closed].contains(state) {
      recover()
      pause.wait()
    }
  }

  // MARK: Offline

  /// How often a controller that is offline is looked for (ns).
  private static let offlineInterval: UInt64 = 10 * .millisecond

  /// The registers read as all ones: the controller is waited for, or given up at once where it will not come
  /// back.
  func goOffline() {
    if bringUp.offlineEnd == nil {
      counters.lostChannels += 1
      bringUp.offlineEnd = now + min(options.offlineTimeout, .max - now)
    }
    state = .offline
    probeChannel()
  }

  /// Looks whether a controller that is offline answers again. Its former life is over then: completions may
  /// have been lost on the way, and it may have been reset, so a function reset and a bring-up follow.
  private func probeChannel() {
    guard !function.isTakenAway, now < bringUp.offlineEnd ?? 0 else { return fail(error(.removed)) }
    bringUp.nextStep = now + Self.offlineInterval
    _ = function.service(now: now)
    function.restoreChannel()
    guard !controllerStatus.isGone else { return }
    bringUp.failures = 1
    restart()
  }

  /// Gives the controller up, after making sure that it no longer reaches memory.
  func fail(_ reason: ControllerError) {
    guard state != .closed else { return }
    failure = reason
    if !reason.isRemoved { stopAtOnce() }
    function.setBusMaster(false)
    state = .failed
    didStop()
  }

  /// Stops a controller that does not obey: without waiting for CC.EN to be heeded.
  private func stopAtOnce() {
    disable()
    guard controllerStatus.ready else { return }
    // Should this fail too, bus mastering is what is left to take from it.
    try? function.reset()
  }

  /// Takes what was under way back from a controller that has stopped since the queue pair last looked.
  @inline(never)
  func resume(_ queue: inout QueuePair) {
    queue.generation = generation
    let isLost = state == .failed || state == .closed
    queue.cancelAll(end: failure?.isGone == true ? .removed : .interrupted, mayResubmit: !isLost)
  }
}
