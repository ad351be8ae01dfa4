import BlockProtocol
import FileProtocol
import Format

/// Makes checkpoints: a cut at one moment, then the writing of everything that it refers to, then of the pack
/// that makes it valid. It also discards and frees the segments that become free by it.
///
/// Owns the phase and the pack of the checkpoint under way, the number of the last durable one, the selection
/// of usage blocks, and the writes of usage blocks and packs. The phases:
///
///     idle ─▶ preparing ─cut─▶ nodes ─▶ tables ─▶ settling ─▶ usage ─▶ firstFlush ─▶ pack ─▶ lastFlush
///      ▲                                             │ a log write it refers to has failed       │
///      ├─────────── abandoned ───────────────────────┘                                           │
///      └─────────── durable ─────────────────────────────────────────────────────────────────────┘
///
/// `giveUp` leads from any phase to idle, when writing has ended.
///
/// It promises that a pack is written only when everything it refers to is durable; that it overwrites the
/// pack of the checkpoint before the last durable one, and usage block copies that the last durable one does
/// not use; and that a segment comes free only when the checkpoint that lists it as free is durable.
final class CheckpointWriter {
  enum Phase: UInt8 {
    case idle
    /// Everything dirty is written to the log, and table blocks above dirty nodes are read, until a cut can
    /// be made.
    case preparing
    /// The nodes frozen at the cut are written.
    case nodes
    /// The blocks of the two node tables are written.
    case tables
    /// Waiting until every write that the checkpoint refers to has completed.
    case settling
    /// The usage table (what each segment holds) is written.
    case usage
    case firstFlush
    /// Both copies of the pack are written.
    case pack
    case lastFlush
  }

  let cache: Cache
  let event: Event
  let waiting: Waiting
  let condition: Condition
  let errors: Errors
  let effects: Effects
  let volume: Volume
  let segments: SegmentTable
  let writes: LogWrites
  let nodes: NodeStore
  let map: FileMap
  let uncommitted: Uncommitted
  let log: Log
  let space: Space
  let options: Options

  private(set) var phase = Phase.idle {
    didSet { if effects.trace.isOn, phase != oldValue { tracePhase() } }
  }
  /// Steps of preparing done so far; after `preparationsBeforeHolding` changes wait until the cut.
  private var preparations = 0
  /// The last durable checkpoint.
  private(set) var durable: UInt64 = 0
  /// Checkpoints that have become durable since the mount.
  private(set) var count: UInt64 = 0
  /// The checkpoint under way.
  private var pack = CheckpointPack()
  /// Which copy of each usage block is valid, and its checksum.
  private var usage: [CheckpointPack.UsageSelection] = []
  private var usageCursor = 0
  /// Writes and flushes of usage blocks and packs under way.
  private(set) var writesInFlight = 0
  /// Frames of these writes.
  private var buffers: [FrameIndex] = []
  private var packFrames: [UInt32] = []
  private let packCommandFrames = CommandFrames()
  /// The errno of the first write or flush of this checkpoint that has failed, and its block; 0 for none.
  private var failure: (code: Int32, block: UInt64) = (0, 0)
  /// The checkpoint is the last before the unmount: nothing follows it in the log.
  private var isLast = false

  init(space: Space, log: Log, effects: Effects) {
    self.space = space
    self.log = log
    self.effects = effects
    options = log.options
    cache = log.cache
    event = log.event
    waiting = log.waiting
    condition = log.condition
    errors = log.errors
    volume = log.volume
    segments = log.segments
    writes = log.writes
    nodes = log.nodes
    map = log.map
    uncommitted = log.uncommitted
  }

  /// Recovery: begins with the checkpoint that is mounted.
  func begin(from pack: CheckpointPack) {
    durable = pack.sequence
    usage = pack.usage
  }

  /// The number of usage blocks, and which copy of each is valid.
  var usageBlocks: Int { usage.count }
  func usageSelection(_ block: Int) -> CheckpointPack.UsageSelection { usage[block] }

  // MARK: When

  /// Whether a checkpoint should be made now.
  var isNeeded: Bool { space.needsCheckpoint || waiting.checkpointTarget > durable }

  /// When a checkpoint is due by time alone (ns, monotonic); `.max` for never.
  var deadline: UInt64 {
    nodes.oldestChange == 0 || phase != .idle ? .max : nodes.oldestChange &+ 6 &* options.commitInterval
  }

  /// Asks for the last checkpoint before the unmount, unless one was made that holds everything.
  /// - Returns: false when there is such a checkpoint.
  func beginLast() -> Bool {
    if isLast, durable + 1 == segments.age, !space.isChanged { return false }
    isLast = true
    waiting.askForCheckpoint()
    return true
  }

  /// Whether the last checkpoint is durable.
  var isDone: Bool { isLast && phase == .idle && !waiting.wantsCheckpoint }

  /// Abandons the checkpoint under way, because writing has ended.
  func giveUp() {
    phase = .idle
    waiting.checkpointIsMade()
    waiting.releaseChanges()
  }

  private func tracePhase() {
    var event = TracedEvent(.checkpoint, detail: phase.rawValue)
    event.offset =
      switch phase {
      case .idle: durable
      case .preparing: segments.age
      default: pack.sequence
      }
    effects.trace.record(event, of: waiting.actor(of: .checkpoint))
  }

  // MARK: Steps

  /// Does a step of the checkpoint under way, or begins one.
  /// - Returns: false when there is nothing to do, or it waits.
  func step() -> Bool {
    guard !condition.isReadOnly else { return false }
    // During a mount no requests run: each step counts as an event of its own.
    if !condition.isReady { event.begin() }
    effects.trace.actor = waiting.actor(of: .checkpoint)
    switch phase {
    case .idle:
      guard isNeeded || deadline <= event.now.monotonic else { return false }
      phase = .preparing
      preparations = 0
      return true
    case .preparing: return attempt { () throws(Stop) in try prepareCut() }
    case .nodes:
      return mayWriteNodes
        && attempt { () throws(Stop) in
          if nodes.writeFrozen(atMost: options.checkpointNodesPerStep) { advance(to: .tables) }
        }
    case .tables:
      return mayWriteNodes
        && attempt { () throws(Stop) in
          if nodes.writeTables(atMost: options.checkpointNodesPerStep) { advance(to: .settling) }
        }
    case .settling: return settle()
    case .usage: return writeUsage()
    case .firstFlush, .pack, .lastFlush: return false
    }
  }

  /// Does a step as the checkpoint job. Damage met in it ends all writing.
  private func attempt(_ step: () throws(Stop) -> Void) -> Bool {
    switch waiting.attempt(.checkpoint, step) {
    case .done: return true
    case .waits: return false
    case .failed(let code):
      errors.fail("the checkpoint cannot go on: damage in the filesystem (\(ErrnoText.of(code)))")
      return false
    }
  }

  /// Enters the next phase, unless the step just done has ended writing.
  private func advance(to next: Phase) { if !condition.hasFailed { phase = next } }

  /// Steps of preparing after which changes wait for the cut, so that preparing comes to an end.
  private static let preparationsBeforeHolding = 16

  /// Does a step of preparing, and makes the cut when nothing is left to prepare.
  private func prepareCut() throws(Stop) {
    if log.isBroken { try log.beginFreshChain() }
    preparations += 1
    if preparations > Self.preparationsBeforeHolding { waiting.holdChanges() }
    try nodes.processFrees(nodes.inodes)
    try nodes.processFrees(nodes.internals)
    while !event.isSpent, !uncommitted.isEmpty { try log.emitSome() }
    try nodes.holdTables()
    guard !nodes.hasPendingFrees, uncommitted.isEmpty, nodes.looseCount == 0 else { return }
    try log.prepareCut()
    cut()
  }

  private func cut() {
    waiting.checkpointIsMade()
    failure = (0, 0)
    pack = CheckpointPack()
    pack.sequence = segments.age
    pack.epoch = writes.epoch
    pack.flags = isLast ? CheckpointPack.cleanFlag : 0
    pack.time = event.now.realtime
    pack.log = log.cut()
    pack.reservedBlocks = map.reservedBlocks
    segments.cut()
    nodes.cut()
    phase = .nodes
    guard waiting.holdsChanges else { return }
    waiting.releaseChanges()
    waiting.wakeStalled()
  }

  /// Limits the memory that log writes of nodes under way may hold.
  private var mayWriteNodes: Bool {
    nodes.log.writesInFlight == 0
      || nodes.log.blocksInFlight < max(256, Int(clamping: cache.memory.frameCount) / 16)
  }

  /// Waits until everything that the checkpoint refers to has completed; then determines which segments it
  /// leaves empty.
  private func settle() -> Bool {
    guard nodes.log.writesInFlight == 0, log.completedThrough + 1 >= pack.log.sequence else { return false }
    if log.hasFailure(before: pack.log.sequence) { return abandon() }
    guard segments.settle(pack.sequence) else { return true }
    phase = .usage
    usageCursor = 0
    return true
  }

  /// Abandons the checkpoint, because a log write that it refers to failed after the cut. The next one takes
  /// its number. Nodes that were already written stay where they are.
  private func abandon() -> Bool {
    phase = .idle
    segments.abandonCut()
    waiting.askForCheckpoint()
    return true
  }

  // MARK: The end

  /// Usage blocks written at the same time, at most.
  private static let usageBlocksAtATime = 64

  /// Writes changed usage blocks to the copies that the last checkpoint does not use.
  func writeUsage() -> Bool {
    guard writesInFlight == 0 else { return false }
    giveBackBuffers()
    var written = 0
    while usageCursor < usage.count, written < Self.usageBlocksAtATime {
      let block = usageCursor
      guard segments.dirtyBlocks[block] else {
        usageCursor += 1
        continue
      }
      let frame = cache.takeBuffer()
      guard frame != .none else { return written > 0 }
      usageCursor += 1
      let page = cache.page(frame)
      segments.store(page, block: block)
      let copy = 1 - usage[block].copy
      usage[block] = CheckpointPack.UsageSelection(checksum: volume.checksum.of(page), copy: copy)
      buffers.append(frame)
      write(volume.geometry.usageBlock(UInt32(block), copy: copy), cache.run(from: frame), count: 1)
      written += 1
    }
    guard written == 0 else { return true }
    phase = .firstFlush
    flush()
    return true
  }

  private func write(_ block: UInt64, _ frames: UnsafePointer<UInt32>, count: Int) {
    writesInFlight += 1
    effects.submit(
      BlockCommand(
        .write, block: block, count: UInt32(truncatingIfNeeded: count), frames: frames,
        tag: Tag(.checkpoint, block).raw))
  }

  private func flush() {
    writesInFlight += 1
    guard volume.hasVolatileCache else { return writeEnded(at: 0, 0) }
    writes.flush(Tag(.checkpoint))
  }

  private func giveBackBuffers() {
    for frame in buffers { cache.giveBack(frame) }
    buffers.removeAll(keepingCapacity: true)
  }

  /// A write or flush of the checkpoint itself has ended.
  /// - Parameter block: the first block of a write; 0 for a flush.
  func writeEnded(at block: UInt64, _ code: Int32) {
    assert(writesInFlight > 0)
    writesInFlight -= 1
    if failure.code == 0 { failure = (code, block) }
    guard writesInFlight == 0 else { return }
    guard failure.code == 0 else {
      giveBackBuffers()
      return errors.fail(
        "checkpoint \(pack.sequence) could not be written (\(ErrnoText.of(failure.code)))", .write,
        block: failure.block, count: phase == .pack ? Int(volume.geometry.packBlocks) : 1, code: failure.code)
    }
    switch phase {
    case .firstFlush:
      giveBackBuffers()
      phase = .pack
      writePack()
    case .pack:
      phase = .lastFlush
      flush()
    case .lastFlush:
      giveBackBuffers()
      becomeDurable()
    default: break
    }
  }

  private func writePack() {
    let blocks = Int(volume.geometry.packBlocks)
    guard cache.reserve(blocks) else { return errors.fail("no memory to write a checkpoint") }
    pack.inodes = nodes.inodesAtCut
    pack.internals = nodes.internalsAtCut
    pack.usage = usage
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: blocks * Page.size, alignment: 16)
    defer { bytes.deallocate() }
    pack.encode(into: bytes, geometry: volume.geometry, nonce: volume.nonce)
    packFrames.removeAll(keepingCapacity: true)
    for block in 0..<blocks {
      let frame = cache.takeBuffer()
      let part = UnsafeRawBufferPointer(rebasing: bytes[block * Page.size..<(block + 1) * Page.size])
      cache.page(frame).copy(part, at: 0)
      buffers.append(frame)
      packFrames.append(frame)
    }
    let slot = Int(pack.sequence & 1)
    packCommandFrames.update(packFrames)
    for copy in 0...1 {
      write(volume.geometry.packBlock(slot: slot, copy: copy), packCommandFrames.pointer, count: blocks)
    }
  }

  /// The last flush has ended: the checkpoint is durable.
  private func becomeDurable() {
    durable = pack.sequence
    count += 1
    phase = .idle
    segments.clearExhausted()
    segments.release()
    segments.offerVictims(durable: durable)
    log.checkpointed(durable, cut: pack.log.sequence)
    waiting.wakeStalled()
  }

  /// Segments released in one step, and discards under way, at most.
  private static let releasesPerStep = 64
  private static let discardsAtATime = 256

  /// Discards some of the segments that no checkpoint needs; each is free once its discard has ended. Without
  /// discards they are free at once.
  func releaseStep() -> Bool {
    var count = 0
    while count < Self.releasesPerStep, segments.discarding < Self.discardsAtATime,
      let segment = segments.nextReleased()
    {
      release(segment)
      count += 1
    }
    if count > 0, segments.discarding == 0 { waiting.wakeStalled() }
    return count > 0
  }

  private func release(_ segment: UInt32) {
    guard volume.canDiscard, options.discards else { return segments.free(segment) }
    segments.beginDiscard()
    effects.submit(
      BlockCommand(
        .discard, block: volume.geometry.segmentBlock(segment), count: volume.geometry.segmentBlocks,
        tag: Tag(.discard, UInt64(segment)).raw))
  }

  /// A discard has ended. A failure is ignored.
  func discardEnded(_ segment: UInt32) {
    segments.endDiscard(segment)
    waiting.wakeStalled()
  }

  // MARK: Invariants

  func checkInvariants(_ invariants: inout Invariants) {
    guard !condition.hasFailed, condition.failure == nil, durable > 0 else { return }
    switch phase {
    case .idle, .preparing:
      invariants.expect("the checkpoint of now", segments.age, equals: durable + 1)
      invariants.expect("nodes of a checkpoint that is not under way", nodes.frozenCount, equals: 0)
    case .nodes: invariants.expect("the checkpoint of now", segments.age, equals: durable + 2)
    case .tables, .settling, .usage, .firstFlush, .pack, .lastFlush:
      invariants.expect("the checkpoint of now", segments.age, equals: durable + 2)
      invariants.expect("nodes that the checkpoint has left out", nodes.frozenCount, equals: 0)
    }
    invariants.expect(
      !waiting.holdsChanges || phase == .preparing, "changes wait for a cut that is not coming")
  }
}
