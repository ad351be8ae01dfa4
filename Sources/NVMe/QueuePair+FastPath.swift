public import CMachine
import NVMeSpec

/// The fast path, which nearly every command takes: its doorbell is a single store, and its completion is a
/// success that need only be reported. It is inlined; all other cases go to `Controller.pollSlow` and
/// `ringSlow`.
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
  /// where the entry is new, and the status. So the word of a new, successful completion equals its command
  /// identifier.
  @inlinable @inline(__always)
  func lastWord(_ entry: UnsafeMutableRawPointer) -> UInt32 {
    cm_load32(entry + Self.lastWordOffset) ^ expectedPhase
  }

  /// Passes all posted commands to the controller by a store to the doorbell.
  /// - Returns: false where ringing takes more than that.
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
  /// - Returns: false where there is none, and where the slow path is needed.
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

  /// Advances to an entry; where the queue wraps, the expected phase tag is inverted.
  @inlinable @inline(__always)
  mutating func advance(to entry: UnsafeMutableRawPointer) {
    next = entry
    guard entry == end else { return }
    next = completion
    expectedPhase ^= Self.phaseBit
  }

  /// Counts collected completions, and takes the submission queue head from the last of them.
  @inlinable @inline(__always)
  mutating func countReaped(_ count: Int, through last: UnsafeMutableRawPointer) {
    reaped &+= UInt64(truncatingIfNeeded: count)
    let read = UInt32(cm_load16(last + Self.submissionHeadOffset))
    // With few commands in flight the controller has nearly always read the whole submission queue.
    if read == index(rungTail) || isBetweenHeadAndTail(read) {
      submissionHead = read
    } else {
      counts.badQueueHeads &+= 1
    }
  }

  /// Whether `read` is a head that the controller can have reached.
  @inlinable @inline(__always)
  func isBetweenHeadAndTail(_ read: UInt32) -> Bool {
    let toTail = (index(rungTail) &- submissionHead) & indexMask
    return read <= indexMask && (read &- submissionHead) & indexMask <= toTail
  }

  /// The index of the next completion entry: the value of the completion queue's doorbell.
  @inlinable @inline(__always)
  var headIndex: UInt32 { UInt32(truncatingIfNeeded: (next - completion) &>> Self.entryShift) }

  /// The commands that ended since the last call; valid until the next call of a mutating method.
  @inlinable @inline(__always)
  public mutating func takeFinished() -> UnsafeBufferPointer<FinishedCommand> {
    let ends = UnsafeBufferPointer(start: finished, count: finishedCount)
    counts.completed &+= UInt64(truncatingIfNeeded: finishedCount)
    finishedCount = 0
    return ends
  }
}

extension Controller {
  /// Drives a queue pair: services an emulated function, collects completions, submits due retries, rings the
  /// doorbell, and handles timeouts. Never blocks.
  ///
  /// The ended commands are in the queue pair's `takeFinished()`.
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
