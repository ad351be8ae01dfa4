import Block
import CMachine

extension Reactor {
  /// While requests keep coming, background work gets one step in this time (ns).
  private static let busyAdvanceInterval: UInt64 = 1_000_000
  /// Under load watched descriptors are looked at this often (ns).
  private static let lookInterval: UInt64 = 10_000_000
  /// How long to sleep between polls of a device that has commands in flight and no interrupt (ns).
  private static let pollInterval: UInt64 = 20_000

  /// Calls `advance` when its time has come, or when something happened since and there is nothing else to do.
  ///
  /// While there is other work, steps are rationed, so that they cannot hold up requests.
  /// - Returns: whether the service wants another step at once.
  func advanceIfDue(_ channel: (any RequestChannel)?, idle: Bool) -> Bool {
    guard eventsSinceAdvance || !isSpinning else { return false }
    let now = cm_monotonic_ns()
    guard eventsSinceAdvance || now >= advanceDue else { return false }
    guard idle || service.wantsAdvance || now &- lastAdvance >= Self.busyAdvanceInterval else { return false }
    tick()
    eventsSinceAdvance = false
    lastAdvance = now
    advanceDue = service.advance()
    carryOut(channel)
    afterAdvance()
    return advanceDue <= now
  }

  /// Sleeps until something can have happened.
  ///
  /// Falling asleep and being woken takes longer than many a caller takes to ask anew. So while pauses are short, it
  /// polls on for `spin` before; when one was long, it sleeps at once until one is short again.
  func rest() {
    let now = cm_monotonic_ns()
    if idleSince == 0 { idleSince = now }
    if lastPause < 2 * spin, now &- idleSince < spin {
      isSpinning = true
      cm_pause()
      return
    }
    isSpinning = false
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
    look(timeout: deadline == .max ? -1 : Int64(clamping: deadline - now))
  }

  /// Looks at the watched descriptors while there is no time to sleep: signals and the control socket are heard under
  /// any load. To be called only where the channel and the device are looked at once more before sleeping, since what
  /// is reported of those here is not reported again.
  func lookAround(at now: UInt64) {
    guard now &- lastLook >= Self.lookInterval else { return }
    look(timeout: 0)
    lastLook = now
  }

  private func look(timeout: Int64) {
    let count = sleeper.sleep(timeout: timeout)
    for index in 0..<count { handlers[sleeper.descriptor(index)]?() }
  }

  /// There is something to do again.
  @inline(__always)
  func endPause() {
    guard idleSince != 0 else { return }
    lastPause = cm_monotonic_ns() &- idleSince
    idleSince = 0
    isSpinning = false
  }
}
