import FileProtocol
import Format
import Glibc

/// Mounting: superblock, checkpoint, segment table, the log since then, and a checkpoint of the result.
///
/// Owns the phase of the mount and the checkpoint that is mounted:
///
///     superblocks ─▶ packs ─▶ usage ─▶ log ─▶ apply ─▶ checkpoint ─▶ done
///                                              ▲  │         │
///                                              └──┴─────────┘ too much is dirty to apply more
///
/// A mount follows addresses and never scans for log writes to apply. Between two log writes it makes a
/// checkpoint by the same rule as a mounted filesystem does, so that the changed nodes fit the cache. Such a
/// checkpoint leads into the rest of the log, as if it had been made when the log was written. Nothing is
/// written before the log has been read to its end, and nothing at all by a read-only mount.
///
/// A read-only mount that becomes writable goes on from done to checkpoint at the first change or open for
/// writing (`requireWritable`); requests wait meanwhile. Until then `Replay` keeps the segments of the log
/// open.
final class Recovery {
  private enum Phase { case superblocks, packs, usage, log, apply, checkpoint, done }

  private let event: Event
  private let waiting: Waiting
  private let condition: Condition
  private let errors: Errors
  private let volume: Volume
  private let segments: SegmentTable
  private let writes: LogWrites
  private let nodes: NodeStore
  private let map: FileMap
  private let pages: Pages
  private let uncommitted: Uncommitted
  private let log: Log
  private let space: Space
  private let checkpoint: CheckpointWriter
  private let cleaner: Cleaner
  private let free: FreeQueue
  private let reads: MountReads
  private let reader: LogReader
  private let replay: Replay
  private let options: Options
  private var phase = Phase.superblocks
  /// The checkpoint that is mounted.
  private var pack = CheckpointPack()
  private var usageCursor = 0
  /// There is no earlier checkpoint to fall back to.
  private var isOnlyCheckpoint = false

  init(
    reads: MountReads, replay: Replay, checkpoint: CheckpointWriter, cleaner: Cleaner, free: FreeQueue,
    pages: Pages
  ) {
    self.reads = reads
    self.replay = replay
    self.checkpoint = checkpoint
    self.cleaner = cleaner
    self.free = free
    self.pages = pages
    event = checkpoint.event
    waiting = checkpoint.waiting
    condition = checkpoint.condition
    errors = checkpoint.errors
    volume = checkpoint.volume
    segments = checkpoint.segments
    writes = checkpoint.writes
    nodes = checkpoint.nodes
    map = checkpoint.map
    uncommitted = checkpoint.uncommitted
    log = checkpoint.log
    space = checkpoint.space
    options = checkpoint.options
    reader = LogReader(reads: reads, condition: condition, volume: volume, last: options.replaysThrough)
  }

  /// The checkpoint that was mounted, and how many log writes after it were replayed.
  private(set) var mountedCheckpoint: UInt64 = 0
  private(set) var replayedLogWrites: UInt64 = 0

  // MARK: Steps

  /// Steps done in one event, at most.
  private static let stepsPerEvent = 16

  /// Does as much of the mount as it can without waiting.
  /// - Returns: when to be called again; 0 for at once, `UInt64.max` for not before another event.
  func advance() -> UInt64 {
    for _ in 0..<Self.stepsPerEvent {
      guard condition.failure == nil, !condition.isReady else { return 0 }
      guard !reads.isPending else { return .max }
      if step() { continue }
      return phase == .checkpoint ? makeCheckpoints() : .max
    }
    return 0
  }

  /// Refuses a mount that does not go on although nothing is under way: only memory can be missing.
  func failForWantOfMemory() {
    let reason = "too little memory to replay the log; mount with a larger cache, once"
    if condition.isBecomingWritable { errors.fail(reason) } else { condition.refuse(reason) }
  }

  /// - Returns: whether to go on at once.
  private func step() -> Bool {
    switch phase {
    case .superblocks: readSuperblocks()
    case .packs: readPacks()
    case .usage: readUsage()
    case .log:
      reader.step()
      if reader.isDone { beginReplay() }
    case .apply: return apply()
    case .checkpoint, .done: return false
    }
    return !reads.isPending
  }

  // MARK: Superblock, pack, segment table

  private func readSuperblocks() {
    guard reads.fetch([0, volume.blockCount - min(1, volume.blockCount)]) else { return }
    defer { reads.end() }
    do throws(FormatError) {
      let superblock = try chooseSuperblock()
      guard superblock.geometry.blockCount <= volume.blockCount else {
        throw .truncated(expected: superblock.geometry.blockCount, found: volume.blockCount)
      }
      volume.adopt(superblock)
      segments.begin(geometry: superblock.geometry)
      if superblock.mustBeReadOnly { condition.forbidWriting() }
      phase = .packs
    } catch {
      condition.refuseWithoutSuperblock(reads.code(0) == ENODEV ? "the device is gone" : error.description)
    }
  }

  private func chooseSuperblock() throws(FormatError) -> Superblock {
    let copies = (0...1).map { reads.code($0) == 0 ? reads.page($0) : nil }
    let (superblock, fault) = try Superblock.choose(first: copies[0], last: copies[1])
    if fault != nil {
      errors.notify(
        "the first superblock (block 0) is damaged, the one in block \(volume.blockCount - 1) is used; run fsck.varve"
      )
    }
    return superblock
  }

  private func readPacks() {
    let geometry = volume.geometry
    let size = Int(geometry.packBlocks)
    let blocks = (0..<4).flatMap { pack in
      (0..<geometry.packBlocks).map { geometry.packBlock(slot: pack >> 1, copy: pack & 1) + $0 }
    }
    guard reads.fetch(blocks + (geometry.errorBlock.map { [$0] } ?? [])) else { return }
    defer { reads.end() }
    let packs = (0..<4).compactMap { decodePack($0 * size..<($0 + 1) * size) }
    if geometry.errorBlock != nil {
      errors.load(reads.page(blocks.count), isReadable: reads.code(blocks.count) == 0)
    }
    guard let newest = packs.max(by: { $0.sequence < $1.sequence }) else {
      let places = stride(from: 0, to: 4 * size, by: size).map { "\(blocks[$0])" }.joined(separator: ", ")
      return condition.refuse(
        "no checkpoint can be read: all four copies, at blocks \(places), are damaged; run fsck.varve")
    }
    isOnlyCheckpoint = !packs.contains { $0.sequence &+ 1 == newest.sequence }
    begin(from: newest)
    phase = .usage
  }

  private func decodePack(_ blocks: Range<Int>) -> CheckpointPack? {
    var bytes: [UInt8] = []
    for block in blocks { bytes.append(contentsOf: reads.page(block).bytes(at: 0, count: Page.size)) }
    return bytes.withUnsafeMutableBytes {
      CheckpointPack(decoding: $0, geometry: volume.geometry, nonce: volume.nonce)
    }
  }

  /// After a mount the sequence numbers of node and cleaner log writes begin at the checkpoint's number
  /// shifted left by so many bits.
  private static let headSequenceBits: UInt64 = 20

  /// Sets all owners to the state of the checkpoint.
  private func begin(from pack: CheckpointPack) {
    self.pack = pack
    mountedCheckpoint = pack.sequence
    reader.begin(from: pack)
    segments.begin(after: pack.sequence)
    checkpoint.begin(from: pack)
    nodes.log.begin(sequence: pack.sequence << Self.headSequenceBits)
    cleaner.begin(sequence: pack.sequence << Self.headSequenceBits)
    writes.begin(epoch: pack.epoch)
    nodes.inodes.load(pack.inodes)
    nodes.internals.load(pack.internals)
    map.begin(reservedBlocks: pack.reservedBlocks)
  }

  /// Usage blocks read at the same time.
  private static let usageBlocksAtATime = 64

  private func readUsage() {
    let range = usageCursor..<min(usageCursor + Self.usageBlocksAtATime, checkpoint.usageBlocks)
    let blocks = range.map {
      volume.geometry.usageBlock(UInt32($0), copy: checkpoint.usageSelection($0).copy)
    }
    guard reads.fetch(blocks) else { return }
    defer { reads.end() }
    for block in range {
      let page = reads.page(block - range.lowerBound)
      guard volume.checksum.of(page) == checkpoint.usageSelection(block).checksum else {
        return condition.refuse(
          "usage table block \(block) is damaged, at block \(blocks[block - range.lowerBound]); run fsck.varve"
        )
      }
      segments.load(page, block: block)
    }
    usageCursor = range.upperBound
    if usageCursor == checkpoint.usageBlocks { phase = .log }
  }

  // MARK: Replay

  /// The log has been read to its end: begins to apply it.
  private func beginReplay() {
    replay.begin(reader.entries)
    replayedLogWrites = UInt64(reader.entries.count)
    reader.forget()
    // Where this is the only checkpoint, no other one needs the segments that are empty in it.
    if isOnlyCheckpoint || options.reusesEmptySegments { segments.releaseEmpties() }
    phase = .apply
  }

  private func apply() -> Bool {
    let attempt = waiting.attempt(.mount) { () throws(Stop) in
      guard let next = replay.next else { return try endReplay() }
      if replay.isBetweenEntries, mayMakeCheckpoint {
        beginCheckpoint(before: next.header)
      } else {
        try replay.step()
      }
    }
    if case .failed(let code) = attempt {
      condition.refuse(
        "the filesystem is damaged (\(ErrnoText.of(code)))\(replay.place); run fsck.varve",
        replayableThrough: replay.next.map { $0.header.sequence - 1 })
    }
    return attempt == .done
  }

  private var mayMakeCheckpoint: Bool {
    // Not while there are dirty pages or records: preparing the cut would write them to the log, but the
    // checkpoint must lead into the log as it is.
    checkpoint.isNeeded && !condition.isReadOnly && pages.dirtyCount == 0 && uncommitted.inodes.isEmpty
      && uncommitted.urgentPages.isEmpty
  }

  private func beginCheckpoint(before header: LogHeader) {
    guard let segment = volume.geometry.segment(of: header.address) else { return }
    log.begin(before: header, in: segment)
    waiting.askForCheckpoint()
    phase = .checkpoint
  }

  /// The log has been applied: begins a new chain in a free segment. Two checkpoints with a new epoch make
  /// the result durable before the first request.
  private func endReplay() throws(Stop) {
    _ = try nodes.inode(NodeID.root)
    let last = replay.last
    replay.forget()
    writes.begin(epoch: pack.epoch + 1)
    log.begin(after: last ?? pack.log.sequence - 1)
    guard !condition.isReadOnly else {
      if last != nil { errors.notify("the log was replayed in memory only") }
      return becomeReady()
    }
    beginWriting()
  }

  private func beginWriting() {
    replay.releaseSegments(before: checkpoint.durable)
    guard log.beginChain() else { return errors.failForWantOfSegments("no free segment for the log") }
    waiting.askForCheckpoint()
    phase = .checkpoint
  }

  // MARK: The end

  /// Makes checkpoints, and has segments cleaned where they are short, until the mount can go on.
  private func makeCheckpoints() -> UInt64 {
    while condition.failure == nil, !condition.isReady {
      if checkpoint.step() || checkpoint.releaseStep() { continue }
      guard checkpoint.phase == .idle, !checkpoint.isNeeded, segments.discarding == 0 else { return .max }
      if isShortOfSegments {
        waiting.askForSegments()
        event.begin()
        // The cleaner's step may have begun reads, which end between two calls.
        if cleaner.step() { return 0 }
        if checkpoint.isNeeded { continue }
        if cleaner.isCleaning { return .max }
      }
      if replay.next == nil { becomeReady() } else { phase = .apply }
      return 0
    }
    return .max
  }

  /// Whether segments are too short for what follows: the rest of the log, or requests that free space.
  private var isShortOfSegments: Bool {
    guard !segments.isExhausted else { return false }
    let nodes = replay.next == nil ? 0 : space.dirtyNodeLimit
    return space.isShortOfSegments(space.segmentDemand(nodes: nodes), givesSpace: true)
  }

  /// The mount is done: requests may run.
  func becomeReady() {
    phase = .done
    condition.becomeReady()
    if !condition.isReadOnly { free.scan(after: 0) }
    waiting.wakeStalled()
  }

  // MARK: From reading only to writing

  /// Called before every change. The kernel lets no change through to a read-only mount, so a change shows
  /// that it has been remounted read-write: recovery goes on, to make it writable. Requests wait until it is,
  /// or until that has failed and it stays read-only.
  func requireWritable() throws(Stop) {
    guard condition.isReadOnly else { return }
    guard canBecomeWritable else { throw .fail(EROFS) }
    condition.beginWriting()
    // Recovery needs the frames; requests that wait for reads unpin theirs when the reads have ended.
    waiting.unpinRequests()
    beginWriting()
    throw .again(.mount)
  }

  /// Whether a read-only mount can become writable. Not where the changes of the log are so many that
  /// recovery would have made checkpoints between the log writes: that cannot be done afterwards.
  var canBecomeWritable: Bool {
    condition.isMountedReadOnly && !options.staysReadOnly && volume.superblock?.mustBeReadOnly == false
      && !condition.hasFailed && space.mayDirtyNodes
  }
}
