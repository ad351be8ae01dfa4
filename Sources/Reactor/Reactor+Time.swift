import CMachine

extension Reactor {
  /// While requests keep coming, background work gets one step in this time (ns).
  private static let busyAdvanceInterval: UInt64 = 1_000_000
  /// How long to sleep between polls of a device that has commands in flight and no interrupt (ns).
  private static let pollInterval: UInt64 = 20_000
  /// The most time that a request or a step of background work may take without waiting (ns).
  static let longStep: UInt64 = 200_000

  /// Calls `advance` when it is due, or when there were events since the last call and there is nothing else
  /// to do.
  ///
  /// While there is other work, steps are rationed, so that they cannot delay requests.
  /// - Returns: whether the service wants another step at once.
  func advanceIfDue(_ channel: (any RequestChannel)?, idle: Bool) -> Bool {
    guard eventsSinceAdvance || !isSpinning else { return false }
    let now = cm_monotonic_ns()
    lastTime = now
    guard eventsSinceAdvance || now >= advanceDue else { return false }
    guard idle || service.wantsAdvance || now &- lastAdvance >= Self.busyAdvanceInterval else { return false }
    tick()
    eventsSinceAdvance = false
    lastAdvance = now
    advanceDue = service.advance()
    counters.countStep(cm_monotonic_ns() &- now)
    carryOut(channel)
    afterAdvance()
    return advanceDue <= now
  }

  /// Whether to keep polling instead of sleeping, because an event is expected soon.
  ///
  /// With every slot in use no request can be received, and only the device can change that.
  func pollsOn(at now: UInt64) -> Bool {
    isSpinning = false
    guard !lacksSlots || device?.interruptDescriptor == nil else { return false }
    isSpinning = polling.shouldPoll(at: now, limit: spin)
    return isSpinning
  }

  /// Arms the device's interrupt before sleeping.
  /// - Returns: when to run a turn although no descriptor woke the loop (ns, monotonic); 0 for at once.
  func prepareToSleep(at now: UInt64) -> UInt64 {
    guard let device else { return countSleep(until: advanceDue, at: now) }
    guard device.prepareToSleep() else {
      completionsWait = true
      return 0
    }
    // Preparing may have rung the doorbell, and so have set a deadline.
    let deadline = min(advanceDue, device.nextDeadline)
    let mustPoll = inFlight > 0 && device.interruptDescriptor == nil
    return countSleep(until: mustPoll ? min(deadline, now + Self.pollInterval) : deadline, at: now)
  }

  private func countSleep(until deadline: UInt64, at now: UInt64) -> UInt64 {
    if deadline > now { counters.sleeps += 1 }
    return deadline
  }

  /// Records that there is work again.
  @inline(__always)
  func endPause() {
    polling.end(at: cm_monotonic_ns())
    isSpinning = false
  }
}
