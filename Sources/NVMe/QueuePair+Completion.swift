import CMachine
import NVMeSpec

/// Collecting completions.
extension QueuePair {
  /// Collects what the controller has completed, at most `limit` completions, and frees their entries with
  /// one doorbell. The ended commands are in `takeFinished()`; commands to be retried are not among them.
  mutating func reap(limit: Int) {
    // Ended commands that the caller has not taken leave less room.
    let room = min(limit, trackers.count &- finishedCount)
    var count = 0
    while count < room, hasCompletion {
      let successes = protection == nil ? collectSuccesses(limit: room &- count) : 0
      count &+= successes
      if successes > 0 { continue }
      cm_acquire_fence()
      collectOther(next, lastWord(next))
      count &+= 1
      advance(to: next + CompletionEntry.size)
    }
    if count > 0 { freeEntries(count) }
  }

  /// Continues after `reapFast` has collected one completion and found more.
  @usableFromInline @inline(never)
  mutating func reapMore(limit: Int, at ticks: UInt64) {
    now = clock.time(ticks)
    freeEntries(1 &+ collectSuccesses(limit: limit))
  }

  /// Frees the entries of completions that were collected.
  private mutating func freeEntries(_ count: Int) {
    countReaped(count, through: (next == completion ? end : next) - CompletionEntry.size)
    if headDoorbell.ring(headIndex) { counts.completionDoorbells &+= 1 } else { counts.savedDoorbells &+= 1 }
  }

  /// Collects new entries as long as they are successful completions, up to the end of the queue, with all
  /// loop state in registers.
  /// - Returns: how many were collected, at most `limit`.
  mutating func collectSuccesses(limit: Int) -> Int {
    let (pool, mask) = (trackers.trackers, trackers.indexMask)
    let untilEnd = (end - next) &>> Self.entryShift
    let last = limit < untilEnd ? next + max(limit, 0) &<< Self.entryShift : end
    let expectedPhase = expectedPhase
    var end = finished + finishedCount
    var entry = next
    var firstFree = trackers.firstFree
    while entry != last {
      let word = cm_load32(entry + Self.lastWordOffset) ^ expectedPhase
      let tracker = pool + Int(word & mask)
      guard tracker.pointee.identity == word else { break }
      // The rest of the entry may only be read once its phase was seen.
      cm_acquire_fence()
      end.initialize(to: FinishedCommand(context: tracker.pointee.context, succeeded: cm_load32(entry)))
      end += 1
      TrackerPool.free(tracker, word, before: firstFree)
      firstFree = word & mask
      entry += 1 &<< Self.entryShift
    }
    let count = (entry - next) &>> Self.entryShift
    guard count > 0 else { return 0 }
    advance(to: entry)
    finishedCount &+= count
    trackers.firstFree = firstFree
    latencies.record(now &- pool[Int(firstFree)].time)
    return count
  }

  /// Handles an entry that completes a command with an error, a command with metadata, or no command at all.
  @inline(never)
  private mutating func collectOther(_ entry: UnsafeMutableRawPointer, _ word: UInt32) {
    guard let tracker = trackers.inFlight(UInt16(truncatingIfNeeded: word)) else {
      counts.badCommandIDs &+= 1
      // No command has ended.
      reaped &-= 1
      return
    }
    let status = Status(rawValue: UInt16(truncatingIfNeeded: word &>> 17))
    if status.rawValue == 0, let protection {
      latencies.record(now &- tracker.pointee.time)
      return completeProtected(tracker, protection, result: cm_load32(entry))
    }
    completeWithError(tracker, status: status, result: cm_load32(entry))
  }

  /// Whether the controller has written completions behind the next entry, which it has skipped or written
  /// with a wrong phase tag. They would never be found.
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
          counts.skippedCompletions &+= 1
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
}
