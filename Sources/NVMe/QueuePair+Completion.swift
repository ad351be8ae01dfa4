import CMachine
import NVMeSpec

/// Commands on their way back from the controller.
extension QueuePair {
  /// Byte offsets in a completion entry.
  private static let submissionHeadOffset = 8
  private static let lastWordOffset = 12
  /// The phase tag in an entry's last word.
  private static let phaseBit: UInt32 = 1 << 16

  /// Whether a completion waits to be reaped.
  public var hasCompletion: Bool {
    @inline(__always) get { lastWord(next) & Self.phaseBit == 0 }
  }

  /// An entry's last word, read before the rest of it: the command identifier, and above it the phase tag, 0 where
  /// the entry is new, and the status. So a success is no larger than a command identifier.
  @inline(__always)
  private func lastWord(_ entry: UnsafeMutableRawPointer) -> UInt32 {
    cm_load32(entry + Self.lastWordOffset) ^ expectedPhase
  }

  /// Collects what the controller has completed, at most `limit` completions, and frees their entries with one
  /// doorbell. The ends are in `takeFinished()`; commands to be tried again are not among them.
  @inline(__always)
  mutating func reap(limit: Int) {
    if hasCompletion { collect(limit: limit) }
  }

  private mutating func collect(limit: Int) {
    // Ends that nobody has taken leave less room.
    let room = min(limit, trackers.count &- finishedCount)
    var reaped = 0
    while true {
      if protection == nil { reaped &+= collectSuccesses(limit: room &- reaped) }
      let word = lastWord(next)
      guard word & Self.phaseBit == 0, reaped < room else { break }
      cm_acquire_fence()
      collectOther(next, word)
      reaped &+= 1
      advance()
    }
    guard reaped > 0 else { return }
    inFlight &-= reaped
    noteSubmissionHead((next == completion ? end : next) - CompletionEntry.size)
    let isStored = headDoorbell.ring(
      UInt32(truncatingIfNeeded: (UInt(bitPattern: next) &- UInt(bitPattern: completion)) &>> 4))
    if isStored { counters.completionDoorbells &+= 1 } else { counters.savedDoorbells &+= 1 }
  }

  /// Collects new entries as long as they complete commands with success, all that the loop needs being in
  /// registers.
  /// - Returns: how many were collected, at most `limit`.
  @inline(__always)
  private mutating func collectSuccesses(limit: Int) -> Int {
    let (pool, mask) = (trackers.trackers, trackers.indexMask)
    let (completion, completionEnd) = (completion, end)
    let firstEnd = finished + finishedCount
    let lastEnd = firstEnd + limit
    var end = firstEnd
    var entry = next
    var expectedPhase = expectedPhase
    var firstFree = trackers.firstFree
    while end != lastEnd {
      let word = cm_load32(entry + Self.lastWordOffset) ^ expectedPhase
      let tracker = pool + Int(word & mask)
      guard word <= 0xffff, tracker.pointee.identity == word | Tracker.inFlightBit else { break }
      // The rest of the entry may only be read once its phase was seen.
      cm_acquire_fence()
      end.initialize(to: FinishedCommand(context: tracker.pointee.context, succeeded: cm_load32(entry)))
      end += 1
      firstFree = TrackerPool.free(tracker, word, mask, before: firstFree)
      entry += CompletionEntry.size
      if entry == completionEnd {
        entry = completion
        expectedPhase ^= Self.phaseBit
      }
    }
    guard end != firstEnd else { return 0 }
    next = entry
    self.expectedPhase = expectedPhase
    let count = Int(bitPattern: (UInt(bitPattern: end) &- UInt(bitPattern: firstEnd)) &>> 4)
    finishedCount &+= count
    trackers.firstFree = firstFree
    latencies.record(now &- pool[Int(firstFree)].time)
    return count
  }

  /// Goes on to the next entry, which bears the other phase tag where the queue begins anew.
  private mutating func advance() {
    next += CompletionEntry.size
    guard next == end else { return }
    next = completion
    expectedPhase ^= Self.phaseBit
  }

  /// Takes an entry that completes a command with an error or a command with metadata, or no command at all.
  @inline(never)
  private mutating func collectOther(_ entry: UnsafeMutableRawPointer, _ word: UInt32) {
    guard let tracker = trackers.inFlight(UInt16(truncatingIfNeeded: word)) else {
      counters.badCommandIDs &+= 1
      // Nothing that was in flight has ended.
      inFlight &+= 1
      return
    }
    let status = Status(rawValue: UInt16(truncatingIfNeeded: word &>> 17))
    if status.rawValue == 0, let protection {
      latencies.record(now &- tracker.pointee.time)
      return completeProtected(tracker, protection, result: cm_load32(entry))
    }
    completeWithError(tracker, status: status, result: cm_load32(entry))
  }

  /// Takes note of how far the controller has read the submission queue.
  @inline(__always)
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
  private func distance(to index: UInt32) -> UInt32 { (index &- submissionHead) & indexMask }

  /// Whether the controller has written completions behind the next one, which is not there or bears a wrong phase
  /// tag. They would never be found.
  var hasSkippedCompletion: Bool {
    mutating get {
      guard !hasCompletion else { return false }
      var entry = next
      var expectedPhase = expectedPhase
      for _ in 1..<entries {
        entry += CompletionEntry.size
        if entry == end {
          entry = completion
          expectedPhase ^= Self.phaseBit
        }
        if (cm_load32(entry + Self.lastWordOffset) ^ expectedPhase) & Self.phaseBit == 0 {
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
    (finished + finishedCount).initialize(
      to: FinishedCommand(context: tracker.pointee.context, result: result, status: status, end: end))
    finishedCount &+= 1
    trackers.give(tracker)
  }

  /// The ends reported since the last call; valid until the next call of a mutating method.
  public mutating func takeFinished() -> UnsafeBufferPointer<FinishedCommand> {
    let ends = UnsafeBufferPointer(start: finished, count: finishedCount)
    counters.completed &+= UInt64(truncatingIfNeeded: finishedCount)
    finishedCount = 0
    return ends
  }
}
