import NVMeSpec

/// Commands that did not succeed: retried later, or reported.
extension QueuePair {
  /// Handles a command that ended with an error status: schedules a retry, or reports its end.
  @inline(never)
  mutating func completeWithError(_ tracker: UnsafeMutablePointer<Tracker>, status: Status, result: UInt32) {
    if let delay = policy.delay(after: status, retries: tracker.pointee.history.retries) {
      tracker.pointee.history.retries += 1
      tracker.pointee.history.abortSent = false
      tracker.pointee.history.timedOut = false
      counts.retries &+= 1
      scheduleRetry(of: tracker, until: now &+ delay)
    } else {
      fail(tracker, .failed, status: status, result: result)
    }
  }

  /// Reports a command's failure and logs it.
  mutating func fail(
    _ tracker: UnsafeMutablePointer<Tracker>, _ end: CommandEnd, status: Status = .success, result: UInt32 = 0
  ) {
    counts.errors &+= 1
    errors.append(CommandError(queue: identifier, command: tracker.pointee.command, status: status, end: end))
    // Full only where the caller has stopped taking ended commands; this one is dropped then.
    guard finishedCount < finishedCapacity else { return trackers.give(tracker) }
    finish(tracker, end, status: status, result: result)
  }

  /// Inserts a tracker into the list of delayed commands.
  private mutating func scheduleRetry(of tracker: UnsafeMutablePointer<Tracker>, until due: UInt64) {
    tracker.pointee.state = .delayed
    tracker.pointee.time = due
    tracker.pointee.next = firstDelayed
    firstDelayed = UInt32(truncatingIfNeeded: trackers.index(of: tracker.pointee.commandID))
    nextDue = min(nextDue, due)
  }

  /// Submits the delayed commands that are due.
  mutating func resubmitDue() {
    guard isOnline, nextDue <= now else { return }
    var index = firstDelayed
    firstDelayed = Tracker.none
    nextDue = .max
    while index != Tracker.none {
      let tracker = trackers[Int(index)]
      index = tracker.pointee.next
      if tracker.pointee.time > now {
        scheduleRetry(of: tracker, until: tracker.pointee.time)
      } else {
        resubmit(tracker)
      }
    }
  }

  private mutating func resubmit(_ tracker: UnsafeMutablePointer<Tracker>) {
    trackers.renew(tracker)
    tracker.pointee.state = .inFlight
    tracker.pointee.command.commandIdentifier = tracker.pointee.commandID
    put(tracker.pointee.command, tracker)
    // The doorbell will count it as submitted again.
    counts.submitted &-= 1
  }

  /// Takes every command back from a controller that has been disabled or is gone.
  ///
  /// Commands that may be retried wait until the queue is online; the others end with `end`, or as timed out
  /// if they had exceeded their time limit.
  /// - Parameter mayResubmit: whether the controller is being brought up again.
  mutating func cancelAll(end: CommandEnd, mayResubmit: Bool) {
    isOnline = false
    rewind()
    firstDelayed = Tracker.none
    nextDue = .max
    for index in 0..<trackers.count {
      let tracker = trackers[index]
      switch tracker.pointee.state {
      case .free: continue
      case .delayed where mayResubmit: scheduleRetry(of: tracker, until: tracker.pointee.time)
      case .inFlight where mayResubmit && policy.mayRequeue(tracker.pointee.history): requeue(tracker)
      case .delayed, .inFlight:
        let isTimeout = end == .interrupted && tracker.pointee.history.timedOut
        fail(tracker, isTimeout ? .timedOut : end)
      }
    }
  }

  /// Ends the delayed commands as `recalled`, since the device has lost power or was restarted.
  mutating func recall() {
    firstDelayed = Tracker.none
    nextDue = .max
    for index in 0..<trackers.count where trackers[index].pointee.state == .delayed {
      // Full only where the caller has stopped taking ended commands; this one is dropped then.
      if finishedCount < finishedCapacity {
        finish(trackers[index], .recalled, status: .success, result: 0)
      } else {
        trackers.give(trackers[index])
      }
    }
  }

  /// Drops every command without reporting it, for a controller that has been disabled.
  mutating func discardAll() {
    isOnline = false
    rewind()
    firstDelayed = Tracker.none
    nextDue = .max
    for index in 0..<trackers.count where trackers[index].pointee.state != .free {
      trackers.give(trackers[index])
    }
  }

  /// Whether a command has been in flight for longer than `limit` (ns).
  /// - Parameters:
  ///   - start: time in flight counts from here at the earliest (ns, monotonic).
  ///   - matches: selects commands by their context.
  func hasOverdue(
    for limit: UInt64, since start: UInt64 = 0, where matches: (UInt64) -> Bool = { _ in true }
  ) -> Bool {
    for index in 0..<trackers.count {
      let tracker = trackers[index]
      if tracker.pointee.state == .inFlight, now &- max(tracker.pointee.time, start) >= limit,
        matches(tracker.pointee.context)
      {
        return true
      }
    }
    return false
  }

  private mutating func requeue(_ tracker: UnsafeMutablePointer<Tracker>) {
    if tracker.pointee.history.timedOut { tracker.pointee.history.timeouts += 1 }
    tracker.pointee.history.requeues += 1
    tracker.pointee.history.abortSent = false
    tracker.pointee.history.timedOut = false
    counts.requeues &+= 1
    scheduleRetry(of: tracker, until: now)
  }
}
