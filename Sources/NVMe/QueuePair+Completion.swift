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
    var reaped = protection == nil ? collectSuccesses(limit: room) : 0
    if reaped < room, hasCompletion { reaped = collectAll(limit: room, reaped: reaped) }
    guard reaped > 0 else { return }
    inFlight &-= reaped
    noteSubmissionHead((next == completion ? end : next) - CompletionEntry.size)
    let isStored = headDoorbell.ring(
      UInt32(truncatingIfNeeded: (UInt(bitPattern: next) &- UInt(bitPattern: completion)) &>> 4))
    if isStored { counters.completionDoorbells &+= 1 } else { counters.savedDoorbells &+= 1 }
  }

  /// Collects new entries of any kind, and across the end of the queue.
  /// - Parameter reaped: how many were collected before.
  /// - Returns: how many are collected then, at most `limit`.
  @inline(never)
  private mutating func collectAll(limit: Int, reaped: Int) -> Int {
    var reaped = reaped
    while reaped < limit, hasCompletion {
      let successes = protection == nil ? collectSuccesses(limit: limit &- reaped) : 0
      reaped &+= successes
      if successes > 0 { continue }
      cm_acquire_fence()
      collectOther(next, lastWord(next))
      reaped &+= 1
      advance(to: next + CompletionEntry.size)
    }
    return reaped
  }

  /// Collects new entries as long as they complete commands with success, up to the end of the queue, all that the
  /// loop needs being in registers.
  /// - Returns: how many were collected, at most `limit`.
  @inline(__always)
  private mutating func collectSuccesses(limit: Int) -> Int {
    let (pool, mask) = (trackers.trackers, trackers.indexMask)
    let last = min(next + limit &* CompletionEntry.size, end)
    let expectedPhase = expectedPhase
    var end = finished + finishedCount
    var entry = next
    var firstFree = trackers.firstFree
    while entry != last {
      let word = cm_load32(entry + Self.lastWordOffset) ^ expectedPhase
      let tracker = pool + Int(word & mask)
      guard tracker.pointee.identity == UInt64(word) else { break }
      // The rest of the entry may only be read once its phase was seen.
      cm_acquire_fence()
      end.initialize(to: FinishedCommand(context: tracker.pointee.context, succeeded: cm_load32(entry)))
      end += 1
      firstFree = TrackerPool.free(tracker, UInt16(truncatingIfNeeded: word), mask, before: firstFree)
      entry += CompletionEntry.size
    }
    let count = Int(bitPattern: (UInt(bitPattern: entry) &- UInt(bitPattern: next)) &>> 4)
    guard count > 0 else { return 0 }
    advance(to: entry)
    finishedCount &+= count
    trackers.firstFree = firstFree
    latencies.record(now &- pool[Int(firstFree)].time)
    return count
  }

  /// Goes on to an entry, which bears the other phase tag where the queue begins anew.
  @inline(__always)
  private mutating func advance(to entry: UnsafeMutableRawPointer) {
    next = entry
    guard entry == end else { return }
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
    // All of it, in nearly every case where few commands are under way.
    if read == rungTail & indexMask {
      submissionHead = read
    } else if read < entries, distance(to: read) <= distance(to: rungTail) {
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
