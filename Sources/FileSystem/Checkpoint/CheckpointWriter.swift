import BlockProtocol
import FileProtocol
import Format

/// Makes checkpoints: a cut at one moment, then all that it refers to is written, and a pack that says so.
///
/// Owns the checkpoint under way and what the last durable one was. Its phases:
///
///     idle ─▶ preparing ─cut─▶ nodes ─▶ tables ─▶ settling ─▶ usage ─▶ firstFlush ─▶ pack ─▶ lastFlush ─▶ idle
///                                                    └─▶ idle: a log write it refers to failed, and it is abandoned
///
/// From any phase it becomes idle by `giveUp`, when nothing can be written any more.
///
/// It promises that a pack is written only when everything it refers to is durable, to the copies that the
/// last two checkpoints do not use, and that segments come free only when the checkpoint that leaves them is
/// durable.
final class CheckpointWriter {
  enum Phase {
    case idle
    /// Everything dirty goes into the log, and the tables' blocks are read, until a cut can be made.
    case preparing
    /// Nodes as of the cut are written.
    case nodes
    /// The tables that find them are written.
    case tables
    /// All that the checkpoint refers to completes.
    case settling
    /// The segment table is written.
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

  private(set) var phase = Phase.idle
  /// Steps done in preparing the cut; after some nothing may be changed any more until it has been made.
  private var preparations = 0
  /// The last durable checkpoint.
  private(set) var durable: UInt64 = 0
  /// How many have become durable since the mount.
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
  /// A write or flush of this checkpoint has failed.
  private var hasFailed = false
  /// The checkpoint is the last one: nothing follows it in the log.
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

  /// Recovery mounts from this checkpoint.
  func begin(from pack: CheckpointPack) {
    durable = pack.sequence
    usage = pack.usage
  }

  /// How many usage blocks there are, and which copy of one is valid.
  var usageBlocks: Int { usage.count }
  func usageSelection(_ block: Int) -> CheckpointPack.UsageSelection { usage[block] }

  // MARK: When

  /// Whether a checkpoint ought to be made.
  var isNeeded: Bool { space.needsCheckpoint || waiting.checkpointTarget > durable }

  /// When a checkpoint has to be made only because time has passed.
  var deadline: UInt64 {
    nodes.oldestChange == 0 || phase != .idle ? .max : nodes.oldestChange &+ 6 &* options.commitInterval
  }

  /// The filesystem is being left: a last checkpoint is made, unless the last one that was made holds
  /// everything.
  /// - Returns: false when it does.
  func beginLast() -> Bool {
    if isLast, durable + 1 == segments.age, !space.isChanged { return false }
    isLast = true
    waiting.askForCheckpoint()
    return true
  }

  /// Whether the last checkpoint is durable.
  var isDone: Bool { isLast && phase == .idle && !waiting.wantsCheckpoint }

  /// Nothing can be written any more.
  func giveUp() {
    phase = .idle
    waiting.checkpointIsMade()
    waiting.releaseChanges()
  }

  // MARK: Steps

  /// Does a step of the checkpoint under way, or begins one.
  /// - Returns: false when there is nothing to do, or it waits.
  func step() -> Bool {
    guard !condition.isReadOnly else { return false }
    // No requests run during a mount, so each step of it is an event of its own.
    if !condition.isReady { event.begin() }
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

  /// Does a step as the job that makes checkpoints. Where that meets damage, nothing can be written any more.
  private func attempt(_ step: () throws(Stop) -> Void) -> Bool {
    switch waiting.attempt(.checkpoint, step) {
    case .done: return true
    case .waits: return false
    case .failed(let code):
      errors.fail("the checkpoint cannot go on: damage in the filesystem (\(ErrnoText.of(code)))")
      return false
    }
  }

  /// Goes on to the next phase, unless the step that led there was the end of writing.
  private func advance(to next: Phase) { if !condition.hasFailed { phase = next } }

  /// Steps of preparing after which changes wait: what is left then ends.
  private static let preparationsBeforeHolding = 16

  /// Does a step towards the cut, and makes it when nothing is left to do before it.
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
    hasFailed = false
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

  /// Log writes of nodes do not fill the memory that waits for the device.
  private var mayWriteNodes: Bool {
    nodes.log.writesInFlight == 0
      || nodes.log.blocksInFlight < max(256, Int(clamping: cache.memory.frameCount) / 16)
  }

  /// Everything the checkpoint refers to completes; then it is known what it leaves empty.
  private func settle() -> Bool {
    guard nodes.log.writesInFlight == 0, log.completedThrough + 1 >= pack.log.sequence else { return false }
    if log.hasFailure(before: pack.log.sequence) { return abandon() }
    guard segments.settle(pack.sequence) else { return true }
    phase = .usage
    usageCursor = 0
    return true
  }

  /// A log write that the checkpoint refers to failed after the cut: the checkpoint is never finished, and
  /// the next one has its number. Nodes that were written stay where they are.
  private func abandon() -> Bool {
    phase = .idle
    segments.abandonCut()
    waiting.askForCheckpoint()
    return true
  }

  // MARK: The end

  /// Usage blocks written at a time.
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
    effects.commands.append(
      BlockCommand(
        .write, block: block, count: UInt32(truncatingIfNeeded: count), frames: frames,
        tag: Tag(.checkpoint).raw))
  }

  private func flush() {
    writesInFlight += 1
    guard volume.hasVolatileCache else { return writeEnded(0) }
    writes.flush(Tag(.checkpoint))
  }

  private func giveBackBuffers() {
    for frame in buffers { cache.giveBack(frame) }
    buffers.removeAll(keepingCapacity: true)
  }

  /// A write or flush of the checkpoint itself has ended.
  func writeEnded(_ code: Int32) {
    assert(writesInFlight > 0)
    writesInFlight -= 1
    if code != 0 { hasFailed = true }
    guard writesInFlight == 0 else { return }
    if hasFailed {
      giveBackBuffers()
      return errors.fail("a checkpoint could not be written (\(ErrnoText.of(code)))", .write, code)
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

  /// Both flushes have ended.
  private func becomeDurable() {
    phase = .idle
    durable = pack.sequence
    count += 1
    segments.clearExhausted()
    segments.release()
    log.checkpointed(durable, cut: pack.log.sequence)
    waiting.wakeStalled()
  }

  /// Segments released in a step, and discards at the device at a time.
  private static let releasesPerStep = 64
  private static let discardsAtATime = 256

  /// Gives up some of the segments that no checkpoint needs: each is free once the device has forgotten it.
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
    effects.commands.append(
      BlockCommand(
        .discard, block: volume.geometry.segmentBlock(segment), count: volume.geometry.segmentBlocks,
        tag: Tag(.discard, UInt64(segment)).raw))
  }

  /// A discard has ended, well or not.
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
