import CMachine
import NVMeSpec

/// Recording into a queue pair's tracer. Nothing here runs unless there is one.
extension QueuePair {
  /// Whether commands are recorded.
  var isTraced: Bool { tracer != nil }

  /// Starts recording commands.
  /// - Parameter capacity: how many commands are kept until they are taken.
  public mutating func startTrace(capacity: Int) { tracer = CommandTracer(capacity: capacity) }

  /// Stops recording; records that were not taken are dropped.
  public mutating func stopTrace() { tracer = nil }

  /// Takes recorded commands, in the order of their submission.
  /// - Returns: at most `limit` of them, and how many were overwritten since the trace began before they were
  ///   taken.
  public func takeTrace(limit: Int) -> (commands: [CommandTrace], lost: UInt64) {
    guard let tracer else { return ([], 0) }
    return (tracer.take(limit: limit), tracer.lost)
  }

  /// Rings the doorbell and records the commands it covers.
  @inline(never)
  mutating func ringTraced() {
    guard let tracer else { return ring() }
    var trace = CommandTrace()
    trace.queue = identifier
    trace.doorbell = clock.read()
    let count = Int(truncatingIfNeeded: tail &- rungTail)
    for position in rungTail..<tail {
      trace.command = submission[Int(index(position))]
      let tracker = trackers.inFlight(trace.command.commandIdentifier)
      trace.submitted = tracker?.pointee.time ?? trace.doorbell
      trace.context = tracker?.pointee.context ?? 0
      tracer.add(trace)
    }
    ring()
    tracer.ring(count, at: clock.read())
  }

  /// Collects completions and records them.
  @inline(never)
  mutating func reapTraced(limit: Int) {
    guard let tracer else { return reap(limit: limit) }
    let found = clock.read()
    var entry = next
    reap(limit: limit)
    let reaped = clock.read()
    while entry != next {
      // The entries just collected are unchanged: the controller overwrites them only for new commands.
      let status = Status(rawValue: cm_load16(entry + CompletionEntry.phaseOffset) &>> 1)
      tracer.complete(
        cm_load16(entry + CompletionEntry.identifierOffset), status, found: found, reaped: reaped)
      entry += CompletionEntry.size
      if entry == end { entry = completion }
    }
  }
}
