import Block
import CMachine

extension Reactor {
  /// While requests keep coming, background work gets one step in this time (ns).
  private static let busyAdvanceInterval: UInt64 = 1_000_000
  /// How long to sleep between polls of a device that has commands in flight and no interrupt (ns).
  private static let pollInterval: UInt64 = 20_000

  /// Calls `advance` when its time has come, or when something happened since and there is nothing else to do.
  ///
  /// While there is other work, steps are rationed, so that they cannot hold up requests.
  /// - Returns: whether the service wants another step at once.
  func advanceIfDue(_ channel: (any RequestChannel)?, idle: Bool) -> Bool {
    let now = cm_monotonic_ns()
    guard eventsSinceAdvance || now >= advanceDue else { return false }
    guard idle || now &- lastAdvance >= Self.busyAdvanceInterval else { return false }
    tick()
    eventsSinceAdvance = false
    lastAdvance = now
    advanceDue = service.advance()
    carryOut(channel)
    afterAdvance()
    return advanceDue <= now
  }

  /// Sleeps until something can have happened, or polls on while `spin` lasts.
  func rest() {
    let now = cm_monotonic_ns()
    if spin > 0, now &- lastActivity < spin {
      cm_pause()
      return
    }
    if let device, !device.prepareToSleep() {
      completionsWait = true
      return
    }
    // Preparing may have told the device of commands, and so have set a deadline.
    var deadline = min(advanceDue, device?.nextDeadline ?? .max)
    if let device, inFlight > 0, device.interruptDescriptor == nil {
      deadline = min(deadline, now + Self.pollInterval)
    }
    guard deadline > now else { return }
    counters.sleeps += 1
    let count = sleeper.sleep(timeout: deadline == .max ? -1 : Int64(clamping: deadline - now))
    for index in 0..<count { handlers[sleeper.descriptor(index)]?() }
  }
}
