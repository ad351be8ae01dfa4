import NVMeSpec
import PCI

/// What happens when commands do not come back: CSTS is looked at, the queue polled once more, the command
/// aborted, the controller reset. No command's end is reported before the controller can no longer reach its
/// memory.
extension Controller {
  /// Looks at the controller's health and at the age of a queue pair's commands.
  func watch(_ queue: inout QueuePair) {
    queue.nextWatch = queue.now + options.watchInterval
    guard queue.inFlight > 0 else { return }
    let status = controllerStatus
    if status.isGone {
      fail(error(.removed))
      resume(&queue)
      return
    }
    if status.fatal { return reset() }
    guard queue.hasOverdue(for: options.commandTimeout) else { return }
    queue.reap(limit: queue.depth)
    if abortOverdue(in: &queue) { reset() }
  }

  /// Sends Abort for commands that take too long.
  /// - Returns: whether a command is still there although it was to be aborted: only a reset helps.
  private func abortOverdue(in queue: inout QueuePair) -> Bool {
    var mustReset = false
    for index in 0..<queue.depth {
      let tracker = queue.trackers[index]
      guard tracker.pointee.state == .inFlight else { continue }
      let age = queue.now &- tracker.pointee.time
      if age >= options.commandTimeout + options.abortTimeout {
        tracker.pointee.history.timedOut = true
        mustReset = true
      } else if age >= options.commandTimeout, !tracker.pointee.history.abortSent {
        queue.counters.timeouts += 1
        tracker.pointee.history.abortSent = sendAbort(tracker.pointee.commandID, queue: queue.identifier)
      }
    }
    if aborts > 0 { queue.nextWatch = queue.now + min(options.watchInterval, options.abortTimeout) }
    return mustReset
  }

  private func sendAbort(_ command: UInt16, queue: UInt16) -> Bool {
    guard aborts <= Int(identity.abortLimit) else { return false }
    let abort = SubmissionEntry(abort: command, queue: queue)
    guard admin.post(abort, context: AdminContext.abort.rawValue) != nil else { return false }
    admin.ring()
    aborts += 1
    return true
  }

  /// Begins a reset; `poll` carries it on.
  public func reset() {
    guard state == .ready else { return }
    resets += 1
    restart()
  }

  private func restart() {
    do throws(ControllerError) {
      try enter(.disabling)
    } catch {
      fail(error)
    }
  }

  /// Carries a reset on. A bring-up that fails is begun again a few times.
  func recover() {
    guard state != .failed, state != .closed else { return }
    do throws(ControllerError) {
      try advance()
    } catch {
      bringUp.failures += 1
      if error.isRemoved || bringUp.failures > options.maximumResets {
        fail(error)
      } else {
        restart()
      }
    }
  }

  /// Waits until a reset that is under way has ended, well or not.
  func settle() {
    var pause = Pause(self)
    while state != .ready, state != .failed, state != .closed {
      recover()
      pause.wait()
    }
  }

  /// Gives the controller up, after making sure that it no longer reaches memory.
  func fail(_ reason: ControllerError) {
    guard state != .closed else { return }
    failure = reason
    if !reason.isRemoved { stopAtOnce() }
    function.setBusMaster(false)
    state = .failed
    haveStopped()
  }

  /// Stops a controller that does not obey: without waiting for CC.EN to be heeded.
  private func stopAtOnce() {
    disable()
    guard controllerStatus.ready else { return }
    // Should this fail too, bus mastering is what is left to take from it.
    try? function.reset()
  }

  /// Takes what was under way back from a controller that has stopped since the queue pair last looked.
  func resume(_ queue: inout QueuePair) {
    queue.generation = generation
    let isLost = state == .failed || state == .closed
    queue.takeBack(end: failure?.isRemoved == true ? .removed : .interrupted, mayResubmit: !isLost)
  }
}
