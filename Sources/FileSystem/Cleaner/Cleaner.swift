import BlockProtocol
import FileProtocol
import Format

/// The cleaner: moves the live blocks out of segments that hold few of them, so that later checkpoints find
/// these segments empty and free them.
///
/// Owns the segment being cleaned (the victim), the blocks of it that are being moved, and which segments cannot
/// be emptied now. A data block goes through these states:
///
///     `blocks` (listed from the header)
///        ├─dead─▶ skipped
///        └─live─▶ `reads` ─▶ `ready` ─▶ being written ─▶ `moved` ─▶ entered in the map, if still at `from`
///                   └─▶ damaged: left where it is, and the segment is `unmovable`
///
/// Live nodes and table blocks are not moved but made dirty; the next checkpoint writes them elsewhere.
///
/// It promises that a block is neither lost nor found twice: the map has the old address until the block's
/// copy is on the device. Damaged blocks stay where they are, for fsck.varve.
final class Cleaner {
  private let cache: Cache
  private let waiting: Waiting
  private let condition: Condition
  private let errors: Errors
  private let effects: Effects
  private let volume: Volume
  private let segments: SegmentTable
  private let nodes: NodeStore
  private let map: FileMap
  private let pages: Pages
  private let space: Space
  private let checkpoint: CheckpointWriter
  private let free: FreeQueue
  private let log: CleanerLog
  private var policy = CleaningPolicy()

  private var victim: UInt32?
  /// Offset of the victim's next header, in blocks from the segment's start; nil when all were read.
  private var headerOffset: UInt32?
  private var headerFrame = FrameIndex.none
  /// The victim is abandoned before all of it was moved.
  private var isGivenUp = false
  /// A read of the header is under way.
  private var isReadingHeader = false
  /// Blocks of the last header read that are still to be examined, last first.
  private var blocks: [OwnedBlock] = []
  /// Live blocks found in the victim.
  private var found: UInt32 = 0
  /// Moves whose blocks are being read, by frame; and moves whose blocks have been read and wait to be
  /// written, those of old blocks apart.
  private var reads: [FrameIndex: Move] = [:]
  private var ready: [Move] = []
  private var readyOld: [Move] = []
  /// Moves whose blocks have been written to their new address, to be entered in the maps.
  private var moved: [Move] = []
  /// Segments that could not be emptied, for damage or because their live blocks belong to trees still to be
  /// freed.
  private var unmovable: Set<UInt32> = []
  /// `FreeQueue.timesEmptied` when `unmovable` was last cleared: blocks freed since may have emptied them.
  private var freedUntil: UInt64 = 0
  /// The last durable checkpoint when nothing was found worth cleaning; the next unasked search waits for
  /// another checkpoint.
  private var restsAfter: UInt64?
  /// Segments emptied since the last checkpoint was asked for.
  private var emptied = 0
  /// Segments have been emptied since then into the cleaner's last room.
  private var usesLastRoom = false
  /// The cleaner pauses until this checkpoint is durable, which frees the segments that are empty now.
  private var waitsFor: UInt64 = 0
  /// Segments cleaned since the mount.
  private(set) var segmentCount: UInt64 = 0

  init(checkpoint: CheckpointWriter, space: Space, pages: Pages, free: FreeQueue, effects: Effects) {
    self.checkpoint = checkpoint
    self.space = space
    self.pages = pages
    self.free = free
    self.effects = effects
    cache = checkpoint.cache
    waiting = checkpoint.waiting
    condition = checkpoint.condition
    errors = checkpoint.errors
    volume = checkpoint.volume
    segments = checkpoint.segments
    nodes = checkpoint.nodes
    map = checkpoint.map
    log = CleanerLog(
      cache: cache, volume: volume, errors: errors, segments: segments, writes: checkpoint.writes,
      space: space)
  }

  /// After a mount: sets the sequence number of the first log write.
  func begin(sequence: UInt64) { log.begin(sequence: sequence) }

  /// Whether a segment is being cleaned.
  var isCleaning: Bool { victim != nil }
  /// Whether reads of it are under way.
  var isReading: Bool { !reads.isEmpty || isReadingHeader }
  /// Blocks moved since the mount.
  var blockCount: UInt64 { log.blockCount }

  /// Moves under way at the same time, at most.
  private static let movesAtATime = 96
  /// Segments cleaned between checkpoints, at most.
  private static let segmentsAtATime = 32

  /// Does a step of cleaning.
  /// - Returns: false when there is nothing to do, or it waits.
  func step() -> Bool {
    guard !condition.isReadOnly, checkpoint.durable >= waitsFor else { return false }
    offerUnmovable()
    guard victim != nil || chooseVictim() else { return false }
    guard space.mayDirtyNodes else {
      waiting.askForCheckpoint()
      return false
    }
    let attempt = waiting.attempt(.cleaner) { () throws(Stop) in
      try enterMoves()
      try examineBlocks()
      if blocks.isEmpty { try readHeader() }
      writeMovesIfDue()
      if isGivenUp { giveUpVictim() }
      endVictimIfDone()
    }
    if case .failed(let code) = attempt {
      errors.record(
        .checksum, "the cleaner met damage (\(ErrnoText.of(code))); run fsck.varve",
        block: victim.map(volume.geometry.segmentBlock) ?? 0, count: Int(volume.geometry.segmentBlocks),
        code: code)
    }
    return attempt == .done
  }

  /// Offers the unmovable segments again after blocks were freed: they may be empty now.
  private func offerUnmovable() {
    guard freedUntil != free.timesEmptied else { return }
    freedUntil = free.timesEmptied
    for segment in unmovable { segments.offerLater(segment) }
    unmovable.removeAll()
  }

  // MARK: Choosing

  private func chooseVictim() -> Bool {
    let isDue = space.wantsCleaning && restsAfter != checkpoint.durable
    guard waiting.wantsSegments || isDue, !segments.isExhausted else { return false }
    // Segments being discarded are free soon: clean nothing before that.
    guard segments.discarding == 0, !segments.hasReleased else { return false }
    // Segments that are empty already need only checkpoints.
    if emptied == 0, segments.hasEmptySegments { return askForCheckpoints() }
    if emptied >= Self.segmentsAtATime || (emptied > 0 && space.isWorthCheckpoints(emptied: emptied)) {
      return askForCheckpoints()
    }
    guard let segment = bestVictim() else { return emptied > 0 ? askForCheckpoints() : rest() }
    segments.takeVictim(segment)
    victim = segment
    if effects.trace.isOn { traceVictim(segment) }
    headerOffset = 0
    found = 0
    return true
  }

  /// The best victim that there is room to clean.
  ///
  /// By cost and benefit as long as enough segments come free afterwards. Else, if requests wait for segments,
  /// the one with the fewest live blocks, which surely gains space: after the checkpoints that free what is
  /// empty already.
  private func bestVictim() -> UInt32? {
    let isAsked = waiting.wantsSegments
    let largestUse =
      isAsked ? CleaningPolicy.largestUse(meanUse: segments.meanUse) : CleaningPolicy.largestUnaskedUse
    if !usesLastRoom, let best = segments.bestVictim(largestUse: largestUse), hasRoom(toClean: best),
      leavesLastRoom(cleaning: best)
    {
      return best
    }
    guard isAsked, emptied == 0 || usesLastRoom, let emptiest = segments.emptiestVictim(),
      hasRoom(toClean: emptiest)
    else { return nil }
    usesLastRoom = true
    return emptiest
  }

  private func traceVictim(_ segment: UInt32) {
    var event = TracedEvent(.cleaning)
    event.place = volume.geometry.segmentBlock(segment)
    event.count = segments.liveBlocks(Int(segment))
    effects.trace.record(event, of: waiting.actor(of: .cleaner))
  }

  /// Ends the search: no segment can be cleaned, or none is worth it.
  private func rest() -> Bool {
    if waiting.wantsSegments { segments.setExhausted() }
    restsAfter = checkpoint.durable
    waiting.segmentsWereSought()
    waiting.wakeStalled()
    return false
  }

  /// Asks for the two checkpoints that free the segments empty now, and pauses until then.
  private func askForCheckpoints() -> Bool {
    emptied = 0
    usesLastRoom = false
    waiting.segmentsWereSought()
    waitsFor = segments.age + 1
    waiting.askForCheckpoint(through: waitsFor)
    return false
  }

  /// Blocks that may have to be written to empty a segment: its live blocks, in segments begun for them, and the
  /// map nodes above them.
  private func blocksWritten(cleaning segment: UInt32) -> Int {
    let live = Int(segments.liveBlocks(Int(segment)))
    let maps = min(live, Int(clamping: nodes.inodes.root.used &+ nodes.internals.root.used))
    return live + maps + (CleanerLog.segmentsBegun - 1) * Int(volume.geometry.segmentBlocks) + 8
  }

  /// Blocks of `count` segments that are of use.
  private func room(in count: Int) -> Int { count * Int(volume.geometry.segmentBlocks - 2) }

  /// Whether what emptying a segment writes can be written without using the free segments that a checkpoint
  /// may need.
  private func hasRoom(toClean segment: UInt32) -> Bool {
    blocksWritten(cleaning: segment) <= room(in: segments.freeCount - space.segmentDemand())
  }

  /// Whether there will be room for any victim once a segment, and those before it, have been emptied and come
  /// free.
  private func leavesLastRoom(cleaning segment: UInt32) -> Bool {
    let coming = segments.freeCount + emptied + 1 - space.segmentDemand() - space.cleanerRoom
    return blocksWritten(cleaning: segment) <= room(in: coming)
  }

  // MARK: Reading the victim

  /// Reads the victim's next header, and lists the blocks that follow it.
  private func readHeader() throws(Stop) {
    guard let victim, let offset = headerOffset, offset < volume.geometry.segmentBlocks
    else {
      headerOffset = nil
      return
    }
    if headerFrame == .none {
      let frame = cache.takeBuffer()
      guard frame != .none else { throw .again(.memory) }
      headerFrame = frame
      isReadingHeader = true
      read(volume.geometry.segmentBlock(victim) + UInt64(offset), frame)
      throw .again(.read)
    }
    guard !isReadingHeader else { throw .again(.read) }
    let address = volume.geometry.segmentBlock(victim) + UInt64(offset)
    let header = LogHeader(
      decoding: cache.page(headerFrame), address: address, nonce: volume.nonce, checksum: volume.checksum)
    cache.giveBack(headerFrame)
    headerFrame = .none
    guard let header else {
      headerOffset = nil
      return
    }
    if offset == 0, header.head == .foreground {
      policy.cleanedForeground(age: segments.age(since: segments.age(of: Int(victim))))
    }
    headerOffset = offset + 1 + UInt32(header.blockCount)
    listBlocks(of: header)
  }

  private func listBlocks(of header: LogHeader) {
    var address = header.address + 1 + UInt64(header.recordBlocks)
    for run in header.runs {
      for step in 0..<UInt64(run.count) {
        var one = run
        one.count = 1
        if run.kind == .inode || run.kind == .internalNode { one.number += step } else { one.index += step }
        blocks.append(OwnedBlock(run: one, address: address))
        address += 1
      }
    }
    blocks.reverse()
  }

  private func read(_ block: UInt64, _ frame: FrameIndex) {
    effects.submit(
      BlockCommand(
        .read, block: block, count: 1, frames: cache.run(from: frame),
        tag: Tag(.cleanerRead, UInt64(frame)).raw))
  }

  /// A read of a header or of a block to be moved has ended.
  func readEnded(_ frame: FrameIndex, _ code: Int32) {
    guard let move = reads.removeValue(forKey: frame) else {
      if code != 0 { cache.page(frame).clear() }
      isReadingHeader = false
      return
    }
    guard code == 0, volume.checksum.of(cache.page(frame)) == move.checksum else {
      errors.record(
        code == 0 ? .checksum : .read,
        "block \(move.index) of inode \(move.inode) is damaged and cannot be moved\(ErrnoText.inBrackets(code))",
        block: move.from, inode: move.inode, code: code, place: move.from)
      if let victim { unmovable.insert(victim) }
      cache.giveBack(frame)
      return
    }
    if move.isOld { readyOld.append(move) } else { ready.append(move) }
  }

  // MARK: Live or dead

  /// Examines the blocks listed by the last header: live data is read, live nodes are made dirty.
  private func examineBlocks() throws(Stop) {
    while let block = blocks.last, reads.count + ready.count + readyOld.count < Self.movesAtATime {
      if block.run.kind != .data, nodes.dirtyCount > space.dirtyNodeLimit {
        waiting.askForCheckpoint()
        throw .again(.checkpoint)
      }
      do throws(Stop) { try examine(block) } catch .fail {
        // The path to the owner is damaged: the block stays where it is, and so the segment is not emptied.
        if let victim { unmovable.insert(victim) }
      }
      blocks.removeLast()
      // Keep only one block's path through the tables in memory: the next blocks may need other paths.
      waiting.unpin(waiting.current)
    }
  }

  private func examine(_ block: OwnedBlock) throws(Stop) {
    switch block.run.kind {
    case .data: try examineData(block)
    case .inode:
      guard try nodes.tableEntry(nodes.inodes, block.run.number).address == block.address else { return }
      nodes.modify(try nodes.inode(block.run.number).page)
      found += 1
    case .internalNode:
      guard try nodes.tableEntry(nodes.internals, block.run.number).address == block.address else { return }
      nodes.modify(try nodes.node(block.run.number, as: .unchecked))
      found += 1
    case .inodeTable: try examineTable(nodes.inodes, block)
    case .internalTable: try examineTable(nodes.internals, block)
    case .records: break
    }
  }

  private func examineTable(_ table: NodeTable, _ block: OwnedBlock) throws(Stop) {
    let level = Int(clamping: block.run.number)
    let index = block.run.index
    guard level < Int(table.root.height), index >> (8 * UInt64(5 - min(level, 5))) == 0 else { return }
    let address: UInt64
    if level == Int(table.root.height) - 1 {
      address = index == 0 ? table.root.address : 0
    } else if let above = try nodes.tableBlock(table, level: level + 1, index: index >> 8) {
      address = Entry(above, at: Int(index & 255) * Entry.size).address
    } else {
      address = 0
    }
    guard address == block.address else { return }
    _ = try nodes.dirtyTablePath(table, index << (8 * UInt64(level + 1)))
    found += 1
  }

  private func examineData(_ block: OwnedBlock) throws(Stop) {
    let run = block.run
    let owner = try nodes.tableEntry(nodes.inodes, run.number)
    guard owner.stamp == run.generation, owner.address != 0 || owner.flags & Entry.allocated != 0 else {
      return
    }
    let inode = try nodes.inode(run.number)
    guard inode.generation == run.generation else { return }
    let entry = try liveEntry(inode, run.index, at: block.address)
    guard entry.address == block.address else { return }
    found += 1
    // A dirty page is about to be written elsewhere anyway.
    if pages.isDirty(run.number, run.index) { return }
    let frame = cache.takeBuffer()
    guard frame != .none else { throw .again(.memory) }
    reads[frame] = Move(
      inode: run.number, generation: run.generation, index: run.index, from: block.address,
      checksum: entry.checksum, isOld: policy.isOld(age: segments.age(since: UInt64(entry.stamp))),
      frame: frame)
    read(block.address, frame)
  }

  /// The file's map entry. Where it does not hold the block but the file has a detached tree, the block may
  /// belong to that, which is freed in the background.
  private func liveEntry(_ inode: Inode, _ index: UInt64, at address: UInt64) throws(Stop) -> Entry {
    let entry = try map.mapEntry(inode, index)
    if entry.address == address || inode.detachedRoot == 0 { return entry }
    free.add(inode.number)
    return entry
  }

  // MARK: Writing

  /// Writes the blocks that were read, when there are enough of them or no more are coming.
  private func writeMovesIfDue() {
    let isEnd = blocks.isEmpty && headerOffset == nil && reads.isEmpty
    writeIfDue(&ready, isOld: false, isEnd: isEnd)
    writeIfDue(&readyOld, isOld: true, isEnd: isEnd)
  }

  private func writeIfDue(_ moves: inout [Move], isOld: Bool, isEnd: Bool) {
    guard !moves.isEmpty, isEnd || moves.count >= Self.movesAtATime / 2 else { return }
    moves.sort { ($0.inode, $0.index) < ($1.inode, $1.index) }
    if !log.write(&moves, isOld: isOld) { isGivenUp = true }
  }

  /// Abandons the victim, because the room that there was when it was chosen has been used by others. Blocks
  /// not yet moved stay where they are.
  private func giveUpVictim() {
    for move in ready + readyOld { cache.giveBack(move.frame) }
    ready.removeAll(keepingCapacity: true)
    readyOld.removeAll(keepingCapacity: true)
    blocks.removeAll(keepingCapacity: true)
    headerOffset = nil
  }

  /// A log write of moved blocks has ended.
  func writeEnded(_ index: Int, _ code: Int32) { moved.append(contentsOf: log.writeEnded(index, code)) }

  /// Enters written moves in the maps; a map node that was evicted meanwhile is read again.
  private func enterMoves() throws(Stop) {
    while let move = moved.last {
      do throws(Stop) { try enter(move) } catch .fail
      { /* The file is gone or damaged: the map entry is unchanged. */  }
      moved.removeLast()
      waiting.releasePins()
    }
  }

  private func enter(_ move: Move) throws(Stop) {
    let inode = try nodes.inode(move.inode)
    guard inode.generation == move.generation, let slot = try map.mapSlot(inode, move.index),
      slot.entry.address == move.from, slot.entry.checksum == move.checksum
    else { return }
    nodes.modify(slot.page)
    let stamp = slot.entry.stamp
    Entry(address: move.to, checksum: move.checksum, stamp: stamp).store(slot.page, at: slot.offset)
    segments.add(move.to)
    segments.remove(move.from)
  }

  // MARK: The end of a victim

  private func endVictimIfDone() {
    guard let segment = victim, blocks.isEmpty, headerOffset == nil,
      reads.isEmpty,
      ready.isEmpty, readyOld.isEmpty, moved.isEmpty, log.writesInFlight == 0
    else { return }
    victim = nil
    guard !isGivenUp else {
      isGivenUp = false
      segments.offerLater(segment)
      _ = askForCheckpoints()
      return
    }
    emptied += 1
    segmentCount += 1
    // The table counts live blocks but none was found: they belong to damaged files, or to detached trees
    // that are freed later.
    if found == 0 { unmovable.insert(segment) }
    if !unmovable.contains(segment) { segments.offerLater(segment) }
  }

  // MARK: Invariants

  func checkInvariants(_ invariants: inout Invariants) {
    let frames =
      Array(reads.keys) + (ready + readyOld).map(\.frame) + (headerFrame == .none ? [] : [headerFrame])
    invariants.expect(frames.allSatisfy { cache[$0].state == .buffer }, "the cleaner has lost a frame")
    invariants.expect("frames of the cleaner, each once", Set(frames).count, equals: frames.count)
    invariants.expect(
      victim != nil
        || (blocks.isEmpty && ready.isEmpty && readyOld.isEmpty && reads.isEmpty && moved.isEmpty
          && log.writesInFlight == 0),
      "blocks of no segment are being moved")
    log.checkInvariants(&invariants)
  }
}

/// A block of the victim, as its log header describes it.
struct OwnedBlock {
  var run: OwnerRun
  var address: UInt64
}
