import FileProtocol
import Format
import Glibc

/// The foreground log: records and data as users made them, in a chain of log writes that recovery follows.
///
/// Owns the chain's head, the foreground log writes under way and what of them is durable, the commit under
/// way, and the requests that wait until something is durable. A log write goes this way:
///
///     formed ─▶ at the device ─▶ ended ─▶ completed, with all before it ─▶ flushed
///                                  └─▶ failed: the chain is broken until a checkpoint begins a new one
///
/// It promises that each header names the header before it and a segment that was free beforehand, that a
/// request which waits is answered only when all log writes up to its own are durable, and that nothing
/// behind a failed one counts as durable before a checkpoint holds it.
final class Log {
  let cache: Cache
  let event: Event
  let waiting: Waiting
  let condition: Condition
  let errors: Errors
  let volume: Volume
  let segments: SegmentTable
  let requests: RequestSlots
  let writes: LogWrites
  let nodes: NodeStore
  let map: FileMap
  let pages: Pages
  let states: InodeStates
  let uncommitted: Uncommitted
  let options: Options

  /// Where the next log write goes.
  private(set) var position = HeadPosition()
  /// Where the chain goes when the segment is full; taken beforehand, named by every header.
  private var nextSegment: UInt32 = 0
  private var previousChecksum: UInt32 = 0
  /// Foreground writes under way, oldest first.
  private var inFlight: [Int] = []

  /// Log writes up to this number have ended, and are durable.
  private(set) var completedThrough: UInt64 = 0
  private(set) var flushedThrough: UInt64 = 0
  /// What a flush under way covers; nil for none.
  private var flushTarget: UInt64?
  /// Requests that wait until a log write is durable.
  private var durableWaiters: [(slot: Int, sequence: UInt64)] = []

  /// A log write failed: nothing more is written before a checkpoint begins a new chain.
  private(set) var isBroken = false
  /// The first log write of the chain being written.
  private var chainStart: UInt64 = 1
  /// The first checkpoint that leads into the present chain. Nothing in the chain counts as durable before a
  /// second one does, so that losing all copies of a checkpoint never loses what came after it.
  private(set) var chainSince: UInt64 = 0
  /// Log writes that failed and that no checkpoint has made up for.
  private var failed: [UInt64] = [] {
    didSet { heldBackFrom = failed.min() ?? .max }
  }
  /// Nothing from this log write on, the first that failed, counts as durable before a checkpoint holds it.
  private var heldBackFrom = UInt64.max
  /// Blocks and records written since the last cut.
  private(set) var blocksSinceCut: UInt64 = 0

  /// The commit under way, or the last.
  var commit = Commit()
  /// Pages gathered for the next log writes.
  var gathered: [FrameIndex] = []
  /// Of those that go into the log write being formed: the inode, and where the map entry lies.
  var places: [(inode: Inode, slot: MapSlot)] = []

  init(pages: Pages, requests: RequestSlots, writes: LogWrites, condition: Condition, options: Options) {
    self.pages = pages
    self.requests = requests
    self.writes = writes
    self.condition = condition
    self.options = options
    map = pages.map
    nodes = map.nodes
    cache = nodes.cache
    event = nodes.event
    waiting = nodes.waiting
    errors = nodes.errors
    volume = nodes.volume
    segments = nodes.segments
    states = pages.states
    uncommitted = pages.uncommitted
  }

  /// The last log write made.
  var lastSequence: UInt64 { position.sequence - 1 }
  /// Whether log writes have failed that no checkpoint has made up for.
  var hasFailures: Bool { !failed.isEmpty }
  /// Whether a flush is under way.
  var isFlushing: Bool { flushTarget != nil }

  // MARK: The chain

  /// Recovery: the log ends with log write `last`, all of it durable. A new chain begins with the next.
  func begin(after last: UInt64) {
    position = HeadPosition(sequence: last + 1)
    completedThrough = last
    flushedThrough = last
  }

  /// Recovery: a checkpoint leads into the rest of the log, which begins with `header`.
  func begin(before header: LogHeader, in segment: UInt32) {
    position = HeadPosition(
      segment: segment,
      offset: UInt32(truncatingIfNeeded: header.address - volume.geometry.segmentBlock(segment)),
      sequence: header.sequence)
    previousChecksum = header.previousChecksum
    nextSegment = header.nextSegment
    completedThrough = lastSequence
    flushedThrough = lastSequence
  }

  /// Recovery applied a log write of so many blocks.
  func countReplayed(_ blocks: UInt64) { blocksSinceCut += blocks }

  /// A chain begins in a fresh segment, which only the checkpoints to come lead into.
  /// - Returns: false when there are no two free segments.
  func beginChain() -> Bool {
    guard let segment = segments.take(), let next = segments.take() else { return false }
    position.segment = segment
    position.offset = 0
    nextSegment = next
    chainSince = segments.age
    return true
  }

  /// After a failed log write: the chain goes on in a fresh segment, reached only through the checkpoint
  /// being made and those after it.
  func beginFreshChain() throws(Stop) {
    guard inFlight.isEmpty else { throw .again(.commit) }
    let (old, oldNext) = (position.segment, nextSegment)
    guard segments.freeCount > 2, beginChain() else {
      errors.fail("no free segment to go on in after a failed write")
      throw .again(.segments)
    }
    if let old { segments.close(old) }
    segments.close(oldNext)
    isBroken = false
    chainStart = position.sequence
  }

  /// The chain goes to the segment that its headers named, and takes another to be named.
  /// - Returns: false when none is free.
  func enterNextSegment() -> Bool {
    guard let next = segments.take() else { return false }
    if let segment = position.segment { segments.close(segment) }
    position.segment = nextSegment
    position.offset = 0
    nextSegment = next
    return true
  }

  /// A cut names the place of the next header: it must not lie behind the end of a segment.
  func prepareCut() throws(Stop) {
    guard position.offset >= volume.geometry.segmentBlocks else { return }
    guard enterNextSegment() else { throw .again(.segments) }
  }

  /// A cut is made here.
  /// - Returns: where a mount goes on from the checkpoint.
  func cut() -> LogPosition {
    blocksSinceCut = 0
    var cut = LogPosition()
    cut.block = volume.geometry.segmentBlock(position.segment ?? 0) + UInt64(position.offset)
    cut.sequence = position.sequence
    cut.previousChecksum = previousChecksum
    cut.nextSegment = nextSegment
    return cut
  }

  /// Whether a log write failed that a checkpoint with a cut before `sequence` refers to.
  func hasFailure(before sequence: UInt64) -> Bool {
    let covered = chainStart..<max(chainStart, sequence)
    return failed.contains(where: covered.contains)
  }

  /// A checkpoint is durable: it holds all that came before its cut at log write `sequence`.
  func checkpointed(_ checkpoint: UInt64, cut sequence: UInt64) {
    if checkpoint <= chainSince {
      waiting.askForCheckpoint()
    } else if !failed.isEmpty {
      failed.removeAll { $0 < sequence }
    }
    // Log writes of the new chain may have ended while those of the old one held them back.
    setFlushed(max(sequence - 1, volume.hasVolatileCache ? flushedThrough : completedThrough))
    wakeDurable()
    // Log writes that were held back until now may wait for a flush.
    flushIfWanted()
  }

  // MARK: Log writes

  /// Fills in the header of a log write and moves the chain behind it.
  func seal(
    _ writer: inout LogHeaderWriter, _ index: Int, records: UnsafeRawBufferPointer, isInline: Bool,
    flags: UInt8
  ) {
    let write = writes[index]
    var header = LogHeader()
    header.head = .foreground
    header.flags = flags
    header.sequence = position.sequence
    header.epoch = writes.epoch
    header.previousChecksum = previousChecksum
    header.flushedThrough = flushedThrough
    header.nextSegment = nextSegment
    header.address = write.address ?? 0
    writes.setSequence(index, header.sequence)
    previousChecksum = writer.finish(
      header, inline: isInline ? records : UnsafeRawBufferPointer(start: nil, count: 0),
      recordBytes: records.count, nonce: volume.nonce, checksum: volume.checksum)
    position.sequence += 1
    position.offset += UInt32(truncatingIfNeeded: write.count)
    blocksSinceCut += UInt64(write.count)
    segments.wrote(write.segment)
  }

  /// Hands a sealed log write to the device.
  func submit(_ index: Int) {
    inFlight.append(index)
    writes.submit(index)
  }

  /// Whether a log write may be durable by itself: all others are, and none is held back.
  var mayForceUnitAccess: Bool {
    volume.hasVolatileCache && flushedThrough == lastSequence && heldBackFrom == .max
  }

  /// A foreground log write has ended, well or not.
  func writeEnded(_ index: Int, _ code: Int32) {
    let write = writes[index]
    for frame in write.pages { pages.endWriting(frame, code) }
    if condition.hasFailed, cache.lendingSlots > 0 { pages.returnBorrowed() }
    if code != 0 {
      errors.record(
        .write, "a log write failed (\(ErrnoText.of(code))); the log goes on elsewhere", code: code)
      isBroken = true
      failed.append(write.sequence)
      waiting.askForCheckpoint()
    } else if write.forcesUnitAccess, write.sequence == flushedThrough + 1, heldBackFrom > write.sequence {
      flushedThrough = write.sequence
    }
    while let first = inFlight.first, writes[first].isDone {
      completedThrough = max(completedThrough, writes[first].sequence)
      inFlight.removeFirst()
      writes.release(first)
    }
    if !volume.hasVolatileCache { setFlushed(completedThrough) }
    wakeDurable()
    flushIfWanted()
  }

  // MARK: Durability

  /// Asks for a flush that covers everything completed, unless one is under way or nothing needs it.
  private func requestFlush() {
    guard volume.hasVolatileCache, flushTarget == nil, completedThrough > flushedThrough,
      heldBackFrom > flushedThrough + 1
    else { return }
    flushTarget = completedThrough
    writes.flush(Tag(.flush))
  }

  /// Asks for a flush when a request waits for one, or when all that a commit wrote has ended.
  func flushIfWanted() {
    let commitHasEnded = completedThrough >= commit.target && flushedThrough < commit.target
    if commitHasEnded || !durableWaiters.isEmpty { requestFlush() }
  }

  func flushEnded(_ code: Int32) {
    let target = flushTarget ?? 0
    flushTarget = nil
    guard code == 0 else { return errors.fail("a flush failed (\(ErrnoText.of(code)))", .write, code) }
    setFlushed(target)
    wakeDurable()
    flushIfWanted()
  }

  /// All log writes up to `sequence` are durable, as far as a checkpoint need not come first.
  private func setFlushed(_ sequence: UInt64) {
    flushedThrough = max(flushedThrough, min(sequence, heldBackFrom - 1))
  }

  /// Whether any request waits until something is durable.
  var hasDurableWaiters: Bool { !durableWaiters.isEmpty }

  /// Requests whose log write is durable reply.
  private func wakeDurable() {
    guard !durableWaiters.isEmpty else { return }
    let durable = flushedThrough
    var left = 0
    for index in durableWaiters.indices {
      let waiter = durableWaiters[index]
      if waiter.sequence <= durable {
        requests.finish(waiter.slot)
      } else {
        durableWaiters[left] = waiter
        left += 1
      }
    }
    durableWaiters.removeLast(durableWaiters.count - left)
  }

  /// The request in `slot` replies once log write `sequence` is durable.
  func finishWhenDurable(_ slot: Int, _ sequence: UInt64) {
    guard sequence > flushedThrough else { return requests.finish(slot) }
    durableWaiters.append((slot, sequence))
    requestFlush()
  }

  /// Nothing can be written any more: those who wait until something is durable get an error.
  func giveUp() {
    isBroken = true
    pages.returnBorrowed()
    for waiter in durableWaiters { requests.finish(waiter.slot, failed: EIO) }
    durableWaiters.removeAll()
  }

  // MARK: Invariants

  func checkInvariants(_ invariants: inout Invariants) {
    invariants.expect(
      flushedThrough <= completedThrough, "log write \(flushedThrough) is durable and not completed")
    invariants.expect(
      completedThrough <= lastSequence, "log write \(completedThrough) is completed and not made")
    let sequences = inFlight.map { writes[$0].sequence }
    invariants.expect(sequences == sequences.sorted(), "log writes under way are out of order")
    invariants.expect(sequences.allSatisfy { $0 > completedThrough }, "a completed log write is under way")
    invariants.expect(
      durableWaiters.allSatisfy { $0.sequence > flushedThrough }, "a request waits for what is durable")
    invariants.expect(flushedThrough < heldBackFrom, "a failed log write counts as durable")
    guard let segment = position.segment, condition.isReady, !condition.hasFailed else { return }
    invariants.expect(
      segments.isOpen(Int(segment)), "the log is written to segment \(segment), which is not open")
    invariants.expect(segments.isOpen(Int(nextSegment)), "the next segment \(nextSegment) is not open")
  }
}
