import CMachine
import NVMeSpec

/// Commands on their way back from the controller.
extension QueuePair {
  /// Byte offsets in a completion entry.
  private static let submissionHeadOffset = 8
  private static let commandIDOffset = 12

  /// Whether a completion waits to be reaped.
  public var hasCompletion: Bool {
    cm_load16(completion + Int(head) * CompletionEntry.size + CompletionEntry.phaseOffset) & 1 == phase
  }

  /// Collects what the controller has completed, at most `limit` completions, and frees their entries with one
  /// doorbell. The ends are in `takeFinished()`; commands to be tried again are not among them.
  mutating func reap(limit: Int) {
    let limit = min(limit, trackers.count - finishedCount)
    let end = completion + Int(entries) * CompletionEntry.size
    var entry = completion + Int(head) * CompletionEntry.size
    var last = entry
    var expected = phase
    var reaped = 0
    sampleLatency(entry)
    while reaped < limit {
      let statusAndPhase = cm_load16(entry + CompletionEntry.phaseOffset)
      guard statusAndPhase & 1 == expected else { break }
      // The rest of the entry may only be read once its phase was seen.
      cm_acquire_fence()
      complete(entry, status: Status(rawValue: statusAndPhase &>> 1))
      reaped &+= 1
      last = entry
      entry += CompletionEntry.size
      if entry == end {
        entry = completion
        expected ^= 1
      }
    }
    guard reaped > 0 else { return }
    inFlight &-= reaped
    noteSubmissionHead(last)
    head = UInt32(truncatingIfNeeded: (entry - completion) / CompletionEntry.size)
    phase = expected
    counters.completionDoorbells &+= 1
    headDoorbell.ring(head)
  }

  /// Counts the latency of the command that `entry` completes, if it completes one.
  private mutating func sampleLatency(_ entry: UnsafeMutableRawPointer) {
    guard hasCompletion else { return }
    cm_acquire_fence()
    guard let tracker = trackers.inFlight(cm_load16(entry + Self.commandIDOffset)) else { return }
    latencies.record(now &- tracker.pointee.time)
  }

  @inline(__always)
  private mutating func complete(_ entry: UnsafeMutableRawPointer, status: Status) {
    guard let tracker = trackers.inFlight(cm_load16(entry + Self.commandIDOffset)) else {
      counters.badCommandIDs &+= 1
      // Nothing that was in flight has ended.
      inFlight &+= 1
      return
    }
    let result = cm_load32(entry)
    if status.isSuccess {
      finish(tracker, .succeeded, status: status, result: result)
    } else {
      completeWithError(tracker, status: status, result: result)
    }
  }

  /// Takes note of how far the controller has read the submission queue.
  private mutating func noteSubmissionHead(_ entry: UnsafeMutableRawPointer) {
    let read = UInt32(cm_load16(entry + Self.submissionHeadOffset))
    if read < entries, distance(to: read) <= distance(to: rungTail) {
      submissionHead = read
    } else {
      counters.badQueueHeads &+= 1
    }
  }

  /// How far an entry of the submission queue lies behind its known head.
  @inline(__always)
  private func distance(to index: UInt32) -> UInt32 {
    index >= submissionHead ? index &- submissionHead : index &+ entries &- submissionHead
  }

  /// Whether the controller has written completions behind the next one, which is not there or bears a wrong phase
  /// tag. They would never be found.
  var hasSkippedCompletion: Bool {
    mutating get {
      guard !hasCompletion else { return false }
      for step in 1..<entries {
        let isWrapped = head &+ step >= entries
        let index = Int(isWrapped ? head &+ step &- entries : head &+ step)
        let tag = cm_load16(completion + index * CompletionEntry.size + CompletionEntry.phaseOffset) & 1
        if tag == (isWrapped ? phase ^ 1 : phase) {
          counters.skippedCompletions &+= 1
          return true
        }
      }
      return false
    }
  }

  /// Reports the end of a command and frees its tracker.
  @inline(__always)
  mutating func finish(
    _ tracker: UnsafeMutablePointer<Tracker>, _ end: CommandEnd, status: Status, result: UInt32
  ) {
    finishedEnd.initialize(
      to: FinishedCommand(context: tracker.pointee.context, result: result, status: status, end: end))
    finishedEnd += 1
    trackers.give(tracker)
  }

  /// The ends reported since the last call; valid until the next call of a mutating method.
  public mutating func takeFinished() -> UnsafeBufferPointer<FinishedCommand> {
    let ends = UnsafeBufferPointer(start: finished, count: finishedCount)
    counters.completed &+= UInt64(truncatingIfNeeded: ends.count)
    finishedEnd = finished
    return ends
  }
}
