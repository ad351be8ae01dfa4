import FileProtocol
import Format
import Glibc

/// The foreground log: records and data in the order of the operations, in a chain of log writes that
/// recovery follows.
///
/// Owns the chain's head, the foreground log writes under way, which are completed and which durable, the
/// failed ones, the flush and the commit under way, and the requests that wait for durability. The states of
/// a log write:
///
///     formed ─seal, submit─▶ at the device ─writeEnded─▶ ended ─▶ completed, with all before it ─▶ flushed
///                                                          └─▶ failed (`isBroken`, until `beginFreshChain`)
///
/// It promises that each header holds the checksum of the header before it and names as the next segment one
/// that was free beforehand; that a waiting request is answered only when all log writes up to its own are
/// durable; and that nothing from a failed log write on counts as durable before a checkpoint holds it.
/// Log+Commit.swift chooses what goes to the log, Log+Emission.swift forms the log writes.
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
  /// The segment after the current one; taken beforehand, and named in every header.
  private var nextSegment: UInt32 = 0
  private var previousChecksum: UInt32 = 0
  /// Foreground log writes under way, oldest first.
  private var inFlight: [Int] = []

  /// All log writes up to these sequence numbers have ended, and are durable, respectively.
  private(set) var completedThrough: UInt64 = 0
  private(set) var flushedThrough: UInt64 = 0
  /// The last log write that the flush under way covers; nil when none is under way.
  private var flushTarget: UInt64?
  /// Requests that wait until a log write is durable.
  private var durableWaiters: [(slot: Int, sequence: UInt64)] = []

  /// A log write has failed: no more log writes are formed before a checkpoint begins a new chain.
  private(set) var isBroken = false
  /// The first log write of the current chain.
  private var chainStart: UInt64 = 1
  /// The first checkpoint that leads into the current chain. Nothing in the chain counts as durable before a
  /// second checkpoint leads into it too, so that losing all copies of one checkpoint never loses the log
  /// after it.
  private(set) var chainSince: UInt64 = 0
  /// Failed log writes whose contents no durable checkpoint holds yet.
  private var failed: [UInt64] = [] {
    didSet { heldBackFrom = failed.min() ?? .max }
  }
  /// The first of `failed`, `.max` when there is none: no log write from here on counts as durable.
  private var heldBackFrom = UInt64.max
  /// Blocks and records written since the last cut.
  private(set) var blocksSinceCut: UInt64 = 0

  /// The commit under way, or the last.
  var commit = Commit()
  /// Pages gathered for the next log write.
  var gathered: [FrameIndex] = []
  /// For each page that goes into the log write being formed: its inode, and where its map entry lies.
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

  /// The last log write formed.
  var lastSequence: UInt64 { position.sequence - 1 }
  /// Whether log writes have failed whose contents no durable checkpoint holds yet.
  var hasFailures: Bool { !failed.isEmpty }
  /// Whether a flush is under way.
  var isFlushing: Bool { flushTarget != nil }

  // MARK: The chain

  /// Recovery: the log ends with log write `last`, and all of it is durable. A new chain begins with the
  /// next.
  func begin(after last: UInt64) {
    position = HeadPosition(sequence: last + 1)
    completedThrough = last
    flushedThrough = last
  }

  /// Recovery: the checkpoint about to be made leads into the rest of the log, which begins with `header`.
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

  /// Recovery: counts a log write of so many blocks as applied.
  func countReplayed(_ blocks: UInt64) { blocksSinceCut += blocks }

  /// Begins a chain in a free segment; only checkpoints still to be made lead into it.
  /// - Returns: false when there are no two free segments.
  func beginChain() -> Bool {
    guard let segment = segments.take(), let next = segments.take() else { return false }
    position.segment = segment
    position.offset = 0
    nextSegment = next
    chainSince = segments.age
    return true
  }

  /// After a failed log write: continues in a new chain in a free segment, which only the checkpoint being
  /// made and those after it lead into.
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

  /// Continues the chain in the segment that its headers have named, and takes another segment to be named
  /// next.
  /// - Returns: false when none is free.
  func enterNextSegment() -> Bool {
    guard let next = segments.take() else { return false }
    if let segment = position.segment { segments.close(segment) }
    position.segment = nextSegment
    position.offset = 0
    nextSegment = next
    return true
  }

  /// Before a cut: the cut records the position of the next header, which must not be the end of a segment.
  func prepareCut() throws(Stop) {
    guard position.offset >= volume.geometry.segmentBlocks else { return }
    guard enterNextSegment() else { throw .again(.segments) }
  }

  /// Makes the cut.
  /// - Returns: the position from which a mount follows the log after the checkpoint.
  func cut() -> LogPosition {
    blocksSinceCut = 0
    var cut = LogPosition()
    cut.block = volume.geometry.segmentBlock(position.segment ?? 0) + UInt64(position.offset)
    cut.sequence = position.sequence
    cut.previousChecksum = previousChecksum
    cut.nextSegment = nextSegment
    return cut
  }

  /// Whether a log write of the current chain before `sequence`, a checkpoint's cut, has failed.
  func hasFailure(before sequence: UInt64) -> Bool {
    let covered = chainStart..<max(chainStart, sequence)
    return failed.contains(where: covered.contains)
  }

  /// A checkpoint is durable: it holds everything before its cut at log write `sequence`.
  func checkpointed(_ checkpoint: UInt64, cut sequence: UInt64) {
    if checkpoint <= chainSince {
      waiting.askForCheckpoint()
    } else if !failed.isEmpty {
      failed.removeAll { $0 < sequence }
    }
    // Log writes of the new chain may have ended while failed ones of the old chain kept them from counting.
    setFlushed(max(sequence - 1, volume.hasVolatileCache ? flushedThrough : completedThrough))
    wakeDurable()
    // Log writes kept from counting until now may need a flush.
    flushIfWanted()
  }

  // MARK: Log writes

  /// Completes the header of a log write, and advances the chain's head past it.
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

  /// Submits a sealed log write to the device.
  func submit(_ index: Int) {
    inFlight.append(index)
    writes.submit(index)
  }

  /// Whether a log write written with FUA is durable by itself: all before it are durable, and none has
  /// failed.
  var mayForceUnitAccess: Bool {
    volume.hasVolatileCache && flushedThrough == lastSequence && heldBackFrom == .max
  }

  /// A foreground log write has ended, with or without an error.
  func writeEnded(_ index: Int, _ code: Int32) {
    let write = writes[index]
    for frame in write.pages { pages.endWriting(frame, code) }
    if condition.hasFailed, cache.lendingSlots > 0 { pages.returnBorrowed() }
    if code != 0 {
      errors.record(
        .write, "a log write failed (\(ErrnoText.of(code))); the log continues elsewhere", block: write.place,
        count: write.count, code: code)
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

  /// Submits a flush that covers everything completed, unless one is under way or nothing needs it.
  private func requestFlush() {
    guard volume.hasVolatileCache, flushTarget == nil, completedThrough > flushedThrough,
      heldBackFrom > flushedThrough + 1
    else { return }
    flushTarget = completedThrough
    writes.flush(Tag(.flush))
  }

  /// Submits a flush if a request waits for one, or if all log writes of a commit have ended.
  func flushIfWanted() {
    let commitHasEnded = completedThrough >= commit.target && flushedThrough < commit.target
    if commitHasEnded || !durableWaiters.isEmpty { requestFlush() }
  }

  func flushEnded(_ code: Int32) {
    let target = flushTarget ?? 0
    flushTarget = nil
    guard code == 0 else { return errors.fail("a flush failed (\(ErrnoText.of(code)))", .write, code: code) }
    setFlushed(target)
    wakeDurable()
    flushIfWanted()
  }

  /// Counts all log writes up to `sequence` as durable, but none from the first failed one on.
  private func setFlushed(_ sequence: UInt64) {
    flushedThrough = max(flushedThrough, min(sequence, heldBackFrom - 1))
  }

  /// Whether any request waits for durability.
  var hasDurableWaiters: Bool { !durableWaiters.isEmpty }

  /// Finishes the requests whose log write is durable.
  private func wakeDurable() {
    guard !durableWaiters.isEmpty else { return }
    let durable = flushedThrough
    var left = 0
    for index in durableWaiters.indices {
      let waiter = durableWaiters[index]
      if waiter.sequence <= durable {
        waiting.endSuspension(waiter.slot)
        requests.finish(waiter.slot)
      } else {
        durableWaiters[left] = waiter
        left += 1
      }
    }
    durableWaiters.removeLast(durableWaiters.count - left)
  }

  /// Finishes the request in `slot` once log write `sequence` is durable.
  func finishWhenDurable(_ slot: Int, _ sequence: UInt64) {
    guard sequence > flushedThrough else { return requests.finish(slot) }
    durableWaiters.append((slot, sequence))
    waiting.suspendUntilFinished(slot, .durability)
    requestFlush()
  }

  /// After writing has ended: fails the requests that wait for durability.
  func giveUp() {
    isBroken = true
    pages.returnBorrowed()
    for waiter in durableWaiters {
      waiting.endSuspension(waiter.slot)
      requests.finish(waiter.slot, failed: EIO)
    }
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
      durableWaiters.allSatisfy { $0.sequence > flushedThrough },
      "a request waits for a log write that is durable")
    invariants.expect(flushedThrough < heldBackFrom, "a failed log write counts as durable")
    guard let segment = position.segment, condition.isReady, !condition.hasFailed else { return }
    invariants.expect(
      segments.isOpen(Int(segment)), "the log is written to segment \(segment), which is not open")
    invariants.expect(segments.isOpen(Int(nextSegment)), "the next segment \(nextSegment) is not open")
  }
}
