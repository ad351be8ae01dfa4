public import CMachine
import NVMeSpec

/// The fast path, which nearly every command takes: its doorbell is a store, and its completion, a success,
/// needs no more than to be reported. It is inlined; whatever is out of the ordinary is left to
/// `Controller.pollSlow` and `ringSlow`.
extension QueuePair {
  /// Byte offsets in a completion entry.
  @usableFromInline static var submissionHeadOffset: Int { 8 }
  @usableFromInline static var lastWordOffset: Int { 12 }
  /// The size of a completion entry, as a power of two.
  @usableFromInline static var entryShift: Int { 4 }
  /// The phase tag in an entry's last word.
  @usableFromInline static var phaseBit: UInt32 { 1 << 16 }

  /// Whether a completion waits to be reaped.
  public var hasCompletion: Bool {
    @inlinable @inline(__always) get { lastWord(next) & Self.phaseBit == 0 }
  }

  /// An entry's last word, read before the rest of it: the command identifier, and above it the phase tag, 0
  /// where the entry is new, and the status. So a success is no larger than a command identifier.
  @inlinable @inline(__always)
  func lastWord(_ entry: UnsafeMutableRawPointer) -> UInt32 {
    cm_load32(entry + Self.lastWordOffset) ^ expectedPhase
  }

  /// Tells the controller of all posted commands by a store to the doorbell.
  /// - Returns: false where more is to be done than that.
  @inlinable @inline(__always)
  mutating func ringFast() -> Bool {
    guard let doorbell = tailDoorbell.directAddress else { return false }
    rungTail = tail
    cm_release_fence()
    cm_store32(doorbell, index(tail))
    counts.submissionDoorbells &+= 1
    return true
  }

  /// Collects completions with success, up to the end of the queue at most, and frees their entries.
  /// - Parameter limit: the most completions to collect.
  /// - Returns: false where there is none, and where more is to be done than that.
  @inlinable @inline(__always)
  mutating func reapFast(limit: Int) -> Bool {
    let (entry, word) = (next, lastWord(next))
    let tracker = trackers.trackers + Int(word & trackers.indexMask)
    guard tracker.pointee.identity == word, limit > 0, finishedCount == 0, tail == rungTail,
      let doorbell = headDoorbell.directAddress
    else { return false }
    let ticks = cm_ticks()
    guard ticks < fastPathEnd else { return false }
    // The rest of the entry may only be read once its phase was seen.
    cm_acquire_fence()
    finished.initialize(to: FinishedCommand(context: tracker.pointee.context, succeeded: cm_load32(entry)))
    finishedCount = 1
    TrackerPool.free(tracker, word, before: trackers.firstFree)
    trackers.firstFree = word & trackers.indexMask
    advance(to: entry + 1 &<< Self.entryShift)
    if hasCompletion {
      reapMore(limit: limit &- 1, at: ticks)
      return true
    }
    latencies.record(clock.time(ticks) &- tracker.pointee.time)
    countReaped(1, through: entry)
    cm_release_fence()
    cm_store32(doorbell, headIndex)
    counts.completionDoorbells &+= 1
    return true
  }

  /// Goes on to an entry, which bears the other phase tag where the queue begins anew.
  @inlinable @inline(__always)
  mutating func advance(to entry: UnsafeMutableRawPointer) {
    next = entry
    guard entry == end else { return }
    next = completion
    expectedPhase ^= Self.phaseBit
  }

  /// Counts completions that were collected, and takes over what the last of them says about the submission
  /// queue.
  @inlinable @inline(__always)
  mutating func countReaped(_ count: Int, through last: UnsafeMutableRawPointer) {
    reaped &+= UInt64(truncatingIfNeeded: count)
    let read = UInt32(cm_load16(last + Self.submissionHeadOffset))
    // All of the submission queue, in nearly every case where few commands are under way.
    if read == index(rungTail) || isBetweenHeadAndTail(read) {
      submissionHead = read
    } else {
      counts.badQueueHeads &+= 1
    }
  }

  /// Whether the controller can have read the submission queue up to an entry.
  @inlinable @inline(__always)
  func isBetweenHeadAndTail(_ read: UInt32) -> Bool {
    let toTail = (index(rungTail) &- submissionHead) & indexMask
    return read <= indexMask && (read &- submissionHead) & indexMask <= toTail
  }

  /// The index of the next completion entry: the value of the completion queue's doorbell.
  @inlinable @inline(__always)
  var headIndex: UInt32 { UInt32(truncatingIfNeeded: (next - completion) &>> Self.entryShift) }

  /// The ends reported since the last call; valid until the next call of a mutating method.
  @inlinable @inline(__always)
  public mutating func takeFinished() -> UnsafeBufferPointer<FinishedCommand> {
    let ends = UnsafeBufferPointer(start: finished, count: finishedCount)
    counts.completed &+= UInt64(truncatingIfNeeded: finishedCount)
    finishedCount = 0
    return ends
  }
}

extension Controller {
  /// Drives a queue pair: gives an emulated function the processor, collects completions, submits again what
  /// is due, rings, and looks after commands that take too long. Never blocks.
  ///
  /// Its ends are in the queue pair's `takeFinished()`.
  /// - Parameter limit: the most completions to collect; there may be more even when there were fewer.
  @inlinable @inline(__always)
  public func poll(_ queue: inout QueuePair, limit: Int) {
    if queue.fastPathGeneration == fastPathGeneration, queue.reapFast(limit: limit) { return }
    pollSlow(&queue, limit: limit)
  }

  /// Rings a queue pair's doorbell.
  @inlinable @inline(__always)
  public func ring(_ queue: inout QueuePair) {
    guard queue.hasUnrung else { return }
    if queue.fastPathGeneration == fastPathGeneration, queue.ringFast() { return }
    ringSlow(&queue)
  }
}
