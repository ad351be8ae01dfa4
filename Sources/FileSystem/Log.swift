import BlockProtocol
import Format

/// Where one of the three logs writes.
struct HeadPosition {
  /// The segment being written; nil before the first write.
  var segment: UInt32?
  /// The next free block in it.
  var offset: UInt32 = 0
  /// The number of the next log write.
  var sequence: UInt64 = 1
}

/// A log write on its way to the device.
final class LogWrite {
  static let maximumBlocks = 258

  var head = LogHead.foreground
  var sequence: UInt64 = 0
  var segment: UInt32 = 0
  /// The block of its header, from when that is known until the device has written it.
  var address: UInt64?
  /// Arena frames of the header and what follows it.
  let frames: UnsafeMutablePointer<UInt32>
  var count = 0
  /// Frames to give back when the write has ended.
  var buffers: [FrameIndex] = []
  /// Data pages written from where they are cached.
  var pages: [FrameIndex] = []
  /// Cleaner: what moved where.
  var moves: [Move] = []
  var isDone = false
  var forcesUnitAccess = false

  init() { frames = .allocate(capacity: Self.maximumBlocks) }
  deinit { frames.deallocate() }
}

/// A request that waits until a log write is durable.
struct DurableWaiter {
  var slot: Int
  var sequence: UInt64
}

/// The foreground log: records and data as users made them, in a chain that recovery follows.
struct Log {
  var position = HeadPosition()
  /// Where the chain goes when the segment is full; taken beforehand, named by every header.
  var nextSegment: UInt32 = 0
  var previousChecksum: UInt32 = 0
  var epoch: UInt32 = 0
  /// Records made and not yet written.
  var records = RecordBuffer()
  /// When the oldest change that the log does not hold was made; 0 for none. Nanoseconds, monotonic.
  var oldestChange: UInt64 = 0

  /// Log writes by tag, and those that are free.
  var writes: [LogWrite] = []
  var freeWrites: [Int] = []
  /// Foreground writes under way, oldest first.
  var inFlight: [Int] = []
  /// All log writes under way, of all heads.
  var writesInFlight = 0

  /// Log writes up to this number have ended, and are durable.
  var completedThrough: UInt64 = 0
  var flushedThrough: UInt64 = 0
  /// A commit has written everything up to this number, which is to be flushed once it has ended.
  var commitTarget: UInt64 = 0
  /// What a flush under way covers; nil for none.
  var flushTarget: UInt64?
  var waiters: [DurableWaiter] = []

  /// A log write failed: nothing more is written before a checkpoint begins a new chain.
  var isBroken = false
  /// The first log write of the chain being written.
  var chainStart: UInt64 = 1
  /// Log writes that failed and that no checkpoint has made up for.
  var failed: [UInt64] = [] {
    didSet { heldBackFrom = failed.min() ?? .max }
  }
  /// Nothing from this log write on, the first that failed, counts as durable before a checkpoint holds it.
  private(set) var heldBackFrom = UInt64.max
  /// Blocks and records written since the last cut.
  var blocksSinceCut: UInt64 = 0

  /// A commit is under way, and whether it ends with a flush.
  var isCommitting = false
  var commitIsDurable = false
  /// Another is to follow it.
  var isCommitWanted = false
  var commitNumber: UInt64 = 0
  /// Inodes at the front of `uncommitted` that it still has to come to.
  var commitInodes = 0
  /// When it began, and the log write before it.
  var commitBegan: UInt64 = 0
  var commitBeganAfter: UInt64 = 0
  /// Pages gathered for the next log writes.
  var gathered: [FrameIndex] = []
  /// Of those that go into the log write being formed: the inode, and where the map entry lies.
  var places: [(inode: Inode, slot: MapSlot)] = []

  /// The last log write made.
  var lastSequence: UInt64 { position.sequence - 1 }
  var hasRecords: Bool { records.count > 0 }
}

extension FileSystem {
  // MARK: Log writes

  func takeLogWrite(_ head: LogHead) -> (index: Int, write: LogWrite) {
    let index: Int
    if let free = log.freeWrites.popLast() {
      index = free
    } else {
      log.writes.append(LogWrite())
      index = log.writes.count - 1
    }
    let write = log.writes[index]
    write.head = head
    write.count = 0
    write.buffers.removeAll(keepingCapacity: true)
    write.pages.removeAll(keepingCapacity: true)
    write.moves.removeAll(keepingCapacity: true)
    write.isDone = false
    write.forcesUnitAccess = false
    return (index, write)
  }

  /// Adds a frame that was taken as a buffer.
  func append(_ buffer: FrameIndex, to write: LogWrite) {
    write.buffers.append(buffer)
    write.frames[write.count] = buffer
    write.count += 1
  }

  /// Hands a finished log write to the device.
  func submit(_ index: Int, _ write: LogWrite, at block: UInt64) {
    log.writesInFlight += 1
    counters.logWrites += 1
    counters.logBlocks += UInt64(write.count)
    write.address = block
    effects.commands.append(
      BlockCommand(
        .write, block: block, count: UInt32(truncatingIfNeeded: write.count),
        frames: UnsafePointer(write.frames),
        forceUnitAccess: write.forcesUnitAccess, tag: Tag(.logWrite, UInt64(index)).raw))
  }

  /// A node or table block that the device has not written yet, or could not write: reading its place would find what was there before.
  func nodeBeingWritten(at block: UInt64) -> UnsafeRawBufferPointer? {
    guard checkpoint.writesInFlight > 0 || checkpoint.open != nil || hasFailed else { return nil }
    for write in log.writes where write.head == .nodes {
      guard let address = write.address, block >= address, block < address + UInt64(write.count) else {
        continue
      }
      let frame = write.frames[Int(block - address)]
      return UnsafeRawBufferPointer(start: memory.base + Int(frame) * Page.size, count: Page.size)
    }
    return nil
  }

  /// A log write has ended, well or not.
  func logWriteEnded(_ index: Int, _ code: Int32) {
    let write = log.writes[index]
    log.writesInFlight -= 1
    guard write.head != .nodes || code == 0 else { return nodesNotWritten(write, code) }
    write.address = nil
    for frame in write.buffers { cache.giveBack(frame) }
    switch write.head {
    case .foreground:
      endPages(write, code)
      endForeground(index, write, code)
    case .nodes:
      checkpoint.writesInFlight -= 1
      checkpoint.blocksInFlight -= write.count
      log.freeWrites.append(index)
    case .cleaner:
      cleanerWriteEnded(write, code)
      log.freeWrites.append(index)
    }
    wakeStalled()
  }

  /// A checkpoint ends for good. The write keeps its frames: what they hold is nowhere else, and can still be read.
  private func nodesNotWritten(_ write: LogWrite, _ code: Int32) {
    checkpoint.writesInFlight -= 1
    checkpoint.blocksInFlight -= write.count
    fail("a checkpoint's nodes could not be written (\(Code.text(code)))", .write, code)
  }

  private func endPages(_ write: LogWrite, _ code: Int32) {
    for frame in write.pages {
      let info = cache.frames[Int(frame)]
      cache.frames[Int(frame)].isWriting = false
      if info.state == .buffer {
        cache.giveBack(frame)
      } else if code != 0, let state = states.find(info.key.number) {
        cache.remove(frame, from: &states.slots[state].clean)
        appendDirty(frame, state)
        cache.frames[Int(frame)].isDirty = true
        dirtyPages += 1
        listUncommitted(state)
      } else if cache.isLent(frame) {
        returnPage(frame)
      }
    }
    if hasFailed, cache.lendingSlots > 0 { returnAllPages() }
  }

  private func endForeground(_ index: Int, _ write: LogWrite, _ code: Int32) {
    write.isDone = true
    if code != 0 {
      noteError(.write, "a log write failed (\(Code.text(code))); the log goes on elsewhere", code: code)
      log.isBroken = true
      log.failed.append(write.sequence)
      checkpoint.isWanted = true
    } else if write.forcesUnitAccess, write.sequence == log.flushedThrough + 1,
      log.heldBackFrom > write.sequence
    {
      log.flushedThrough = write.sequence
    }
    while let first = log.inFlight.first, log.writes[first].isDone {
      log.completedThrough = max(log.completedThrough, log.writes[first].sequence)
      log.inFlight.removeFirst()
      log.freeWrites.append(first)
    }
    if !hasVolatileCache { noteFlushed(log.completedThrough) }
    wakeDurable()
    flushIfWanted()
  }

  // MARK: Durability

  /// Asks for a flush that covers everything completed, unless one is under way or nothing needs it.
  func requestFlush() {
    guard hasVolatileCache, log.flushTarget == nil, log.completedThrough > log.flushedThrough,
      log.heldBackFrom > log.flushedThrough + 1
    else { return }
    log.flushTarget = log.completedThrough
    counters.flushes += 1
    effects.commands.append(BlockCommand(.flush, tag: Tag(.flush).raw))
  }

  /// Asks for a flush when somebody waits for one, or when all that a commit wrote has ended.
  func flushIfWanted() {
    let commitHasEnded = log.completedThrough >= log.commitTarget && log.flushedThrough < log.commitTarget
    if commitHasEnded || !log.waiters.isEmpty { requestFlush() }
  }

  func flushEnded(_ code: Int32) {
    let target = log.flushTarget ?? 0
    log.flushTarget = nil
    guard code == 0 else { return fail("a flush failed (\(Code.text(code)))", .write, code) }
    noteFlushed(target)
    wakeDurable()
    flushIfWanted()
  }

  /// All log writes up to `sequence` are durable, as far as a checkpoint need not come first.
  func noteFlushed(_ sequence: UInt64) {
    log.flushedThrough = max(log.flushedThrough, min(sequence, log.heldBackFrom - 1))
  }

  /// Requests whose log write is durable reply.
  func wakeDurable() {
    guard !log.waiters.isEmpty else { return }
    let durable = log.flushedThrough
    var left = 0
    for index in log.waiters.indices {
      let waiter = log.waiters[index]
      if waiter.sequence <= durable {
        finish(waiter.slot)
      } else {
        log.waiters[left] = waiter
        left += 1
      }
    }
    log.waiters.removeLast(log.waiters.count - left)
  }

  /// The request in `slot` replies once log write `sequence` is durable.
  func finishWhenDurable(_ slot: Int, _ sequence: UInt64) {
    guard sequence > log.flushedThrough else { return finish(slot) }
    log.waiters.append(DurableWaiter(slot: slot, sequence: sequence))
    requestFlush()
  }

  /// The filesystem can only be read from now on: what it acknowledged is on the device as far as it was synced.
  func fail(_ reason: String, _ kind: ErrorRecord.Kind = .checksum, _ code: Int32 = 0) {
    guard !hasFailed else { return }
    hasFailed = true
    noteError(kind, reason + "; the filesystem is read-only now", code: code)
    isReadOnly = true
    checkpoint.phase = .idle
    checkpoint.isWanted = false
    checkpoint.holdsChanges = false
    log.isBroken = true
    returnAllPages()
    for waiter in log.waiters {
      replies[waiter.slot].error = Code.io
      finish(waiter.slot)
    }
    log.waiters.removeAll()
    wakeStalled()
    guard !isReady else { return }
    // What was mounted read-only, and was to become writable, stays what it was.
    if mounting.isOfReadOnly { becomeReady() } else { failure = reason }
  }
}
