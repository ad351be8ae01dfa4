import BlockProtocol
import FileProtocol
import Format

/// The log writes of all heads (foreground, nodes, the two of the cleaner) from `take` to `release`.
///
/// Owns the log writes and the frames in them, the number at the device, and the epoch that their headers
/// carry.
///
///     take ─▶ filled ─submit─▶ at the device ─end─▶ free again by `release`
///
/// It promises that a log write's frames are not reused until the device has written it, and that a node
/// which is on its way to the device can still be read (`nodeBeingWritten`).
final class LogWrites {
  private let cache: Cache
  private let effects: Effects
  /// Log writes, by the index that is in their command's tag, and which of them are free.
  private var writes: [LogWrite] = []
  private var free: [Int] = []
  /// Log writes at the device.
  private(set) var inFlight = 0
  /// Log writes of nodes that have an address but that the device has not written yet, or failed to write.
  private var unwrittenNodes = 0
  /// The mount's epoch, which every header carries.
  private(set) var epoch: UInt32 = 0
  /// Log writes and flushes since the mount.
  private(set) var writeCount: UInt64 = 0
  private(set) var flushCount: UInt64 = 0
  /// Blocks of each head's log writes since the mount, headers included; and the pages of files in the
  /// foreground's.
  private(set) var foregroundBlocks: UInt64 = 0
  private(set) var nodeBlocks: UInt64 = 0
  private(set) var cleanerBlocks: UInt64 = 0
  private(set) var pageCount: UInt64 = 0
  /// Blocks of all log writes since the mount.
  var blockCount: UInt64 { foregroundBlocks + nodeBlocks + cleanerBlocks }

  init(cache: Cache, effects: Effects) {
    self.cache = cache
    self.effects = effects
  }

  /// Sets the epoch that headers carry from here on.
  func begin(epoch: UInt32) { self.epoch = epoch }

  @inline(__always)
  subscript(index: Int) -> LogWrite { writes[index] }

  /// Takes a free log write, to be filled.
  func take(_ head: LogHead) -> Int {
    let index: Int
    if let last = free.popLast() {
      index = last
    } else {
      writes.append(LogWrite())
      index = writes.count - 1
    }
    let write = writes[index]
    assert(write.address == nil, "a log write is taken that the device has not written")
    write.head = head
    write.count = 0
    write.buffers.removeAll(keepingCapacity: true)
    write.pages.removeAll(keepingCapacity: true)
    write.moves.removeAll(keepingCapacity: true)
    write.isDone = false
    write.forcesUnitAccess = false
    return index
  }

  /// Frees a log write that has ended.
  func release(_ index: Int) { free.append(index) }

  /// Sets where a log write goes.
  func place(_ index: Int, segment: UInt32, at block: UInt64) {
    if writes[index].head == .nodes, writes[index].address == nil { unwrittenNodes += 1 }
    writes[index].segment = segment
    writes[index].address = block
    writes[index].place = block
  }

  func setSequence(_ index: Int, _ sequence: UInt64) { writes[index].sequence = sequence }

  /// Adds a frame that was taken as a buffer.
  func append(_ buffer: FrameIndex, to index: Int) {
    let write = writes[index]
    assert(write.count < LogWrite.maximumBlocks)
    write.buffers.append(buffer)
    write.frames[write.count] = buffer
    write.count += 1
  }

  /// Adds a page of a file, which is written from where it lies.
  @inline(__always)
  func append(page frame: FrameIndex, to index: Int) {
    let write = writes[index]
    assert(write.count < LogWrite.maximumBlocks)
    write.frames[write.count] = frame
    write.count += 1
    write.pages.append(frame)
  }

  /// The log write is to be durable when it ends.
  func forceUnitAccess(_ index: Int) { writes[index].forcesUnitAccess = true }

  /// Adds a block that the cleaner moves to the list of the log write's moves.
  func add(_ move: Move, to index: Int) { writes[index].moves.append(move) }

  /// Submits a filled log write to the device.
  func submit(_ index: Int) {
    let write = writes[index]
    guard let block = write.address else { return }
    inFlight += 1
    writeCount += 1
    count(write)
    if effects.trace.isOn { trace(write, at: block) }
    effects.submit(
      BlockCommand(
        .write, block: block, count: UInt32(truncatingIfNeeded: write.count),
        frames: UnsafePointer(write.frames), forceUnitAccess: write.forcesUnitAccess,
        tag: Tag(.logWrite, UInt64(index)).raw))
  }

  private func count(_ write: LogWrite) {
    let blocks = UInt64(write.count)
    switch write.head {
    case .foreground: foregroundBlocks += blocks
    case .nodes: nodeBlocks += blocks
    case .cleaner: cleanerBlocks += blocks
    }
    pageCount += UInt64(write.pages.count)
  }

  @inline(never)
  private func trace(_ write: LogWrite, at block: UInt64) {
    var event = TracedEvent(.logWrite, detail: write.head.rawValue)
    event.offset = write.sequence
    event.place = block
    event.count = UInt32(truncatingIfNeeded: write.count)
    effects.trace.record(event)
  }

  /// A log write has ended, with or without an error. A failed one of nodes keeps its frames: the nodes may
  /// be nowhere else, and can still be read from there.
  func end(_ index: Int, _ code: Int32) {
    let write = writes[index]
    assert(inFlight > 0)
    inFlight -= 1
    guard write.head != .nodes || code == 0 else { return }
    if write.head == .nodes { unwrittenNodes -= 1 }
    write.address = nil
    write.isDone = true
    for frame in write.buffers { cache.giveBack(frame) }
    write.buffers.removeAll(keepingCapacity: true)
  }

  /// Submits a flush to the device.
  func flush(_ tag: Tag) {
    flushCount += 1
    effects.submit(BlockCommand(.flush, tag: tag.raw))
  }

  /// The contents of a node or table block that the device has not written yet, or failed to write; nil for
  /// any other block. Reading its address from the device would return older contents.
  func nodeBeingWritten(at block: UInt64) -> UnsafeRawBufferPointer? {
    guard unwrittenNodes > 0 else { return nil }
    for write in writes where write.head == .nodes {
      guard let address = write.address, block >= address, block < address + UInt64(write.count) else {
        continue
      }
      let page = cache.page(write.frames[Int(block - address)])
      return page.bytes(at: 0, count: Page.size)
    }
    return nil
  }

  func checkInvariants(_ invariants: inout Invariants) {
    let placed = writes.filter { $0.address != nil }
    invariants.expect(
      "log writes of nodes not on the device", placed.count { $0.head == .nodes }, equals: unwrittenNodes)
    invariants.expect("log writes that are free, each once", Set(free).count, equals: free.count)
    invariants.expect(free.allSatisfy { writes[$0].address == nil }, "a log write is free and on its way")
    for write in placed {
      invariants.expect(
        write.buffers.allSatisfy { cache[$0].state == .buffer },
        "log write \(write.sequence) of \(write.head) has lost a frame")
    }
  }
}

/// A log write being filled or at the device: a header and the blocks that follow it.
final class LogWrite {
  static let maximumBlocks = 258

  fileprivate(set) var head = LogHead.foreground
  fileprivate(set) var sequence: UInt64 = 0
  fileprivate(set) var segment: UInt32 = 0
  /// The address of its header; nil before it is known, and again once the device has written it.
  fileprivate(set) var address: UInt64?
  /// The same, kept until the log write is used again.
  fileprivate(set) var place: UInt64 = 0
  /// Arena frames of the header and of the blocks that follow it.
  fileprivate let frames: UnsafeMutablePointer<UInt32>
  fileprivate(set) var count = 0
  /// Frames to give back when the write has ended.
  fileprivate var buffers: [FrameIndex] = []
  /// Data pages written from where they are cached.
  fileprivate(set) var pages: [FrameIndex] = []
  /// Of the cleaner's: the blocks that it moves.
  fileprivate(set) var moves: [Move] = []
  /// The write has ended, with or without an error.
  fileprivate(set) var isDone = false
  fileprivate(set) var forcesUnitAccess = false

  init() { frames = .allocate(capacity: Self.maximumBlocks) }
  deinit { frames.deallocate() }
}

/// The position of a head.
struct HeadPosition {
  /// The segment being written; nil before the first write.
  var segment: UInt32?
  /// The offset of the next free block in it.
  var offset: UInt32 = 0
  /// The sequence number of the next log write.
  var sequence: UInt64 = 1
}
