import BlockProtocol
import Format

/// A log write that recovery will apply.
struct ReplayEntry {
  var header: LogHeader
  /// Header's and record blocks' records, joined.
  var records: [UInt8]
}

/// A mount on its way: what to read next, and what was found.
struct Mounting {
  enum Phase {
    case superblocks, packs, usage, headers, records, beyond, verify, apply, checkpoint, done
  }

  var phase = Phase.superblocks
  /// Frames that reads of this phase go to, in order, and their errors.
  var frames: [FrameIndex] = []
  var pendingReads = 0
  var errors: [Int32] = []
  var hasIssued = false

  var pack = CheckpointPack()
  var usageCursor = 0
  /// The chain as far as it was followed.
  var entries: [ReplayEntry] = []
  var next = LogPosition()
  /// The header whose record blocks are being read.
  var header: LogHeader?
  /// How often what is being read was read again because of an error.
  var retries = 0
  /// Blocks beyond the end of the chain that were looked at.
  var blocksBeyond = 0
  var verifyIndex = 0
  var verifyBlock = 0

  /// Segments that the log to be applied lies in.
  var logSegments: [UInt32] = []
  /// It was done, without writing, and goes on to where the filesystem can be written.
  var isOfReadOnly = false
  /// There is no checkpoint before this one to fall back to.
  var isOnlyCheckpoint = false
  var applyIndex = 0
  var applyOffset = 0
  var applyBlock = 0
}

/// Mounting: superblock, checkpoint, usage table, the log since then, and a checkpoint of the result.
///
/// Recovery follows addresses and never scans for what to apply. The end of the log is where a header is missing, or where
/// a log write that was not known to be flushed does not match its checksums.
extension FileSystem {
  /// Does as much of the mount as it can without waiting.
  func advanceMount() -> UInt64 {
    for _ in 0..<16 {
      guard failure == nil, !isReady else { return 0 }
      guard mounting.pendingReads == 0 else { return .max }
      if mountStep() { continue }
      let next = mounting.phase == .checkpoint ? checkpointWhileMounting() : .max
      if next != 0, failure == nil, isQuiet {
        let reason = "too little memory to replay the log; mount with a larger cache, once"
        if mounting.isOfReadOnly { fail(reason) } else { failure = reason }
      }
      return next
    }
    return 0
  }

  /// - Returns: whether to go on at once.
  private func mountStep() -> Bool {
    switch mounting.phase {
    case .superblocks: mountSuperblocks()
    case .packs: mountPacks()
    case .usage: mountUsage()
    case .headers: mountHeader()
    case .records: mountRecords()
    case .beyond: mountBeyond()
    case .verify: mountVerify()
    case .apply: return attempt(.mount) { () throws(Stop) in try applyStep() }
    case .checkpoint, .done: return false
    }
    return mounting.pendingReads == 0
  }

  // MARK: Reading

  /// Reads blocks, one into each of as many frames, unless they have been read already.
  /// - Returns: true when they are there.
  func fetch(_ blocks: [UInt64]) -> Bool {
    if mounting.hasIssued { return true }
    mounting.hasIssued = true
    mounting.errors = Array(repeating: 0, count: blocks.count)
    guard cache.reserve(blocks.count) else {
      failure = "too little memory to mount; give a larger cache"
      return false
    }
    for (index, block) in blocks.enumerated() {
      let frame = cache.takeBuffer()
      mounting.frames.append(frame)
      guard block < deviceBlocks else {
        mounting.errors[index] = Code.io
        cache.page(frame).clear()
        continue
      }
      mounting.pendingReads += 1
      effects.commands.append(
        BlockCommand(
          .read, block: block, count: 1, frames: identity + Int(frame),
          tag: Tag(.mount, UInt64(index)).raw))
    }
    return mounting.pendingReads == 0
  }

  /// A read has ended. What could not be read is zeros, not what the frame held before, and counts as not matching.
  func mountReadEnded(_ index: Int, _ code: Int32) {
    mounting.pendingReads -= 1
    guard code != 0, mounting.frames.indices.contains(index) else { return }
    mounting.errors[index] = code
    cache.page(mounting.frames[index]).clear()
  }

  func endFetch() {
    for frame in mounting.frames { cache.giveBack(frame) }
    mounting.frames.removeAll(keepingCapacity: true)
    mounting.hasIssued = false
  }

  // MARK: Superblock, pack, usage table

  private func mountSuperblocks() {
    guard fetch([0, deviceBlocks - min(1, deviceBlocks)]) else { return }
    defer { endFetch() }
    if readsAgain() { return }
    do throws(FormatError) {
      let block = try chooseSuperblock()
      guard block.geometry.blockCount <= deviceBlocks else {
        throw .truncated(expected: block.geometry.blockCount, found: deviceBlocks)
      }
      superblock = block
      geometry = block.geometry
      nonce = block.nonce
      checksum = Checksum(nonce: block.nonce)
      hash = DirectoryHash(key: block.hashKey)
      usage = SegmentUsage(geometry: block.geometry)
      if block.mustBeReadOnly {
        isReadOnly = true
        isMountedReadOnly = true
      }
      mounting.phase = .packs
    } catch {
      hasNoSuperblock = true
      failure = mounting.errors[0] == Code.noDevice ? "the device is gone" : error.description
    }
  }

  private func chooseSuperblock() throws(FormatError) -> Superblock {
    let copies = (0...1).map { mounting.errors[$0] == 0 ? cache.page(mounting.frames[$0]) : nil }
    let (superblock, fault) = try Superblock.choose(first: copies[0], last: copies[1])
    if fault != nil { notices.append("the first superblock is damaged, the second is used; run fsck.varve") }
    return superblock
  }

  private func mountPacks() {
    let blocks = (0..<4).flatMap { pack in
      (0..<geometry.packBlocks).map { geometry.packBlock(slot: pack >> 1, copy: pack & 1) + $0 }
    }
    guard fetch(blocks + (geometry.errorBlock.map { [$0] } ?? [])) else { return }
    defer { endFetch() }
    // One that cannot be read for a moment can be fallen back to later: it must not count as lost.
    if readsAgain() { return }
    let size = Int(geometry.packBlocks)
    let packs = (0..<4).compactMap { decodePack(Array(mounting.frames[$0 * size..<($0 + 1) * size])) }
    if geometry.errorBlock != nil, let frame = mounting.frames.last {
      errors.record = ErrorRecord(decoding: cache.page(frame), checksum: checksum)
      errors.isKnown = mounting.errors.last == 0
    }
    guard let newest = packs.max(by: { $0.sequence < $1.sequence }) else {
      failure = "no checkpoint can be read: all four copies are damaged; run fsck.varve"
      return
    }
    mounting.pack = newest
    mounting.isOnlyCheckpoint = !packs.contains { $0.sequence &+ 1 == newest.sequence }
    mounting.next = newest.log
    checkpoint.durable = newest.sequence
    checkpoint.age = newest.sequence + 1
    checkpoint.usage = newest.usage
    checkpoint.head.sequence = newest.sequence << 20
    cleaner.head.sequence = newest.sequence << 20
    log.epoch = newest.epoch
    inodeTable.root = newest.inodes
    internalTable.root = newest.internals
    reservedBlocks = newest.reservedBlocks
    mounting.phase = .usage
  }

  private func decodePack(_ frames: [FrameIndex]) -> CheckpointPack? {
    var bytes: [UInt8] = []
    for frame in frames { bytes.append(contentsOf: cache.page(frame).bytes(at: 0, count: Page.size)) }
    return bytes.withUnsafeMutableBytes { CheckpointPack(decoding: $0, geometry: geometry, nonce: nonce) }
  }

  private func mountUsage() {
    let end = min(mounting.usageCursor + 64, checkpoint.usage.count)
    let range = mounting.usageCursor..<end
    guard fetch(range.map { geometry.usageBlock(UInt32($0), copy: checkpoint.usage[$0].copy) }) else {
      return
    }
    defer { endFetch() }
    for block in range {
      let page = cache.page(mounting.frames[block - range.lowerBound])
      guard checksum.of(page) == checkpoint.usage[block].checksum else {
        failure = "usage table block \(block) is damaged; run fsck.varve"
        return
      }
      usage.load(page, block: block, latest: checkpoint.age)
    }
    mounting.usageCursor = end
    if end == checkpoint.usage.count { mounting.phase = .headers }
  }

  // MARK: The end

  /// The log has been applied: a new chain begins in a fresh segment, and two checkpoints with a new epoch make all of it
  /// durable before the first request.
  func beginAfterReplay() throws(Stop) {
    _ = try inode(NodeID.root)
    let last = mounting.entries.last?.header.sequence ?? mounting.pack.log.sequence - 1
    let wasEmpty = mounting.entries.isEmpty
    mounting.entries = []
    log.epoch = mounting.pack.epoch + 1
    log.position = HeadPosition(sequence: last + 1)
    log.completedThrough = last
    log.flushedThrough = last
    guard !isReadOnly else {
      if !wasEmpty { notices.append("the log was replayed in memory only") }
      return becomeReady()
    }
    beginWriting()
  }

  private func beginWriting() {
    letGoOfLog()
    guard let segment = usage.take(age: checkpoint.age), let next = usage.take(age: checkpoint.age) else {
      return failForWantOfSegments("no free segment for the log")
    }
    log.position.segment = segment
    log.nextSegment = next
    checkpoint.chainSince = checkpoint.age
    checkpoint.isWanted = true
    mounting.phase = .checkpoint
  }

  /// Makes checkpoints, and room for the next ones where it is short, until the mount can go on.
  private func checkpointWhileMounting() -> UInt64 {
    while failure == nil, !isReady {
      if checkpointStep() || releaseStep() { continue }
      guard checkpoint.phase == .idle, !needsCheckpoint, checkpoint.discarding == 0 else { return .max }
      if isShortWhileMounting {
        cleaner.isWanted = true
        beginEvent()
        // A step may have asked for reads, which end between two calls.
        if cleanerStep() { return 0 }
        if needsCheckpoint { continue }
        if cleaner.victim != nil { return .max }
      }
      if mounting.entries.isEmpty { becomeReady() } else { mounting.phase = .apply }
      return 0
    }
    return .max
  }

  /// Whether segments are short for what is to come: the rest of the log, or those who will remove something.
  private var isShortWhileMounting: Bool {
    guard !isExhausted else { return false }
    let nodes = mounting.entries.isEmpty ? 0 : dirtyNodeLimit
    return isShortOfSegments(segmentDemand(nodes: nodes), givesSpace: true)
  }

  /// Too few segments are free to go on: fsck can make some free.
  func failForWantOfSegments(_ what: String) {
    lacksSegments = true
    fail(what)
    if !isReady { failure = what + "; run fsck.varve -y" }
  }

  func becomeReady() {
    mounting.phase = .done
    isReady = true
    if !isReadOnly { reclaim.scanCookie = 0 }
    wakeStalled()
  }

  // MARK: From reading only to writing

  /// Something is to be changed. The kernel lets no change through at a read-only mount, so the one that comes shows that what was
  /// mounted so has been remounted to be written: recovery goes on to where it can be. Requests wait meanwhile, and `isReady` is
  /// false, until it can be written, or that has failed and it stays read-only.
  func requireWritable() throws(Stop) {
    guard isReadOnly else { return }
    guard canBecomeWritable else { throw .fail(Code.readOnly) }
    isReadOnly = false
    isMountedReadOnly = false
    isReady = false
    mounting.isOfReadOnly = true
    // Recovery needs the frames; requests that wait for reads let go of theirs when these have come.
    for slot in stalled + continuing + [currentWaiter] { unpin(slot) }
    beginWriting()
    throw .again
  }

  /// Whether what is read-only can be written once the kernel lets a change through. Where recovery would have made checkpoints on the
  /// way, for lack of memory or segments, it cannot be made up for.
  var canBecomeWritable: Bool {
    isMountedReadOnly && !options.staysReadOnly && superblock?.mustBeReadOnly == false && !hasFailed
      && mayDirtyNodes
  }
}
