import BlockProtocol
import FileProtocol
import Format

/// The cleaner: moves the live blocks out of segments that hold few of them, so that later checkpoints find
/// these segments empty and free them.
///
/// Owns the segment being cleaned (the victim), the blocks of it that are being moved, the head that they are
/// written to, and which segments are not worth choosing now. A data block goes through these states:
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
  private let writes: LogWrites
  private let nodes: NodeStore
  private let map: FileMap
  private let pages: Pages
  private let space: Space
  private let checkpoint: CheckpointWriter
  private let free: FreeQueue

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
  /// written.
  private var reads: [FrameIndex: Move] = [:]
  private var ready: [Move] = []
  private var writesInFlight = 0
  /// Moves whose blocks have been written to their new address, to be entered in the maps.
  private var moved: [Move] = []
  private var head = HeadPosition()
  /// Segments that could not be emptied, for damage or because their live blocks belong to trees still to be
  /// freed.
  private var unmovable: Set<UInt32> = []
  /// `FreeQueue.timesEmptied` when `unmovable` was last cleared: blocks freed since may have emptied them.
  private var freedUntil: UInt64 = 0
  private var search = VictimSearch(isGreedy: false)
  /// The last durable checkpoint when nothing was found worth cleaning; the next unasked search waits for
  /// another checkpoint.
  private var restsAfter: UInt64?
  /// Segments emptied since the last checkpoint was asked for.
  private var emptied = 0
  /// Segments cleaned since the last durable checkpoint.
  private var cleaned: Set<UInt32> = []
  /// The cleaner pauses until this checkpoint is durable, which frees the segments that are empty now.
  private var waitsFor: UInt64 = 0
  /// The last durable checkpoint when the cleaner last ran.
  private var lastCheckpoint: UInt64 = 0
  /// Segments cleaned and blocks moved since the mount.
  private(set) var segmentCount: UInt64 = 0
  private(set) var blockCount: UInt64 = 0

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
    writes = checkpoint.writes
    nodes = checkpoint.nodes
    map = checkpoint.map
  }

  /// After a mount: sets the sequence number of the first log write.
  func begin(sequence: UInt64) { head.sequence = sequence }

  /// Whether a segment is being cleaned.
  var isCleaning: Bool { victim != nil }
  /// Whether reads of it are under way.
  var isReading: Bool { !reads.isEmpty || isReadingHeader }

  /// Moves under way at the same time, at most.
  private static let movesAtATime = 96
  /// Segments cleaned between checkpoints, at most.
  private static let segmentsAtATime = 32

  /// Does a step of cleaning.
  /// - Returns: false when there is nothing to do, or it waits.
  func step() -> Bool {
    guard !condition.isReadOnly, checkpoint.durable >= waitsFor else { return false }
    forgetWhatHasChanged()
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

  /// Forgets the cleaned segments after a checkpoint, and the unmovable ones after blocks were freed: both
  /// may be empty now.
  private func forgetWhatHasChanged() {
    if lastCheckpoint != checkpoint.durable {
      lastCheckpoint = checkpoint.durable
      cleaned.removeAll(keepingCapacity: true)
    }
    if freedUntil != free.timesEmptied {
      freedUntil = free.timesEmptied
      unmovable.removeAll()
    }
  }

  // MARK: Choosing

  private func chooseVictim() -> Bool {
    let isDue = space.wantsCleaning && restsAfter != checkpoint.durable
    guard waiting.wantsSegments || isDue, !segments.isExhausted else { return false }
    // Segments being discarded are free soon: clean nothing before that.
    guard segments.discarding == 0, !segments.hasReleased else { return false }
    // Segments that are empty already need only checkpoints.
    if emptied == 0, segments.hasEmptySegments { return askForCheckpoints() }
    guard emptied < Self.segmentsAtATime else { return askForCheckpoints() }
    if search.isGreedy != waiting.wantsSegments { search = VictimSearch(isGreedy: waiting.wantsSegments) }
    guard search.isOver else {
      search.step(count: segments.count) { victimScore($0) }
      return true
    }
    while let segment = search.next() {
      // It may have been written or emptied since it was found.
      guard victimScore(Int(segment)) != nil else { continue }
      guard hasRoom(toClean: Int(segment)) else { break }
      victim = segment
      if effects.trace.isOn { traceVictim(segment) }
      headerOffset = 0
      found = 0
      return true
    }
    return emptied > 0 ? askForCheckpoints() : rest()
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
    search = VictimSearch(isGreedy: false)
    waiting.segmentsWereSought()
    waiting.wakeStalled()
    return false
  }

  /// Asks for the two checkpoints that free the segments empty now, and pauses until then.
  private func askForCheckpoints() -> Bool {
    emptied = 0
    search = VictimSearch(isGreedy: false)
    waiting.segmentsWereSought()
    waitsFor = segments.age + 1
    waiting.askForCheckpoint(through: waitsFor)
    return false
  }

  /// How good a victim a segment is, nil when it must not be one. Greedy when a request waits for segments;
  /// else by cost and benefit (Rosenblum and Ousterhout 1992), which prefers old segments with few live
  /// blocks.
  private func victimScore(_ segment: Int) -> Double? {
    let live = segments.liveBlocks(segment)
    let size = volume.geometry.segmentBlocks
    // Unasked, only segments are cleaned of which at least a quarter is dead.
    let most = waiting.wantsSegments ? size - (size / 128 + 1) : size / 4 * 3
    guard segments.isUsed(segment), !segments.isOpen(segment), live > 0, live < most,
      segments.age(of: segment) <= checkpoint.durable,
      !unmovable.contains(UInt32(truncatingIfNeeded: segment)),
      !cleaned.contains(UInt32(truncatingIfNeeded: segment))
    else { return nil }
    let use = Double(live) / Double(size)
    return waiting.wantsSegments
      ? 1 - use : (1 - use) * Double(segments.age - segments.age(of: segment)) / (1 + use)
  }

  /// Whether a segment's live blocks and the map nodes above them can be written without using the free
  /// segments that a checkpoint may need.
  private func hasRoom(toClean segment: Int) -> Bool {
    let live = Int(segments.liveBlocks(segment))
    let maps = min(live, Int(clamping: nodes.inodes.root.used &+ nodes.internals.root.used))
    let room = (segments.freeCount - space.segmentDemand()) * Int(volume.geometry.segmentBlocks - 2)
    return live + maps + 8 <= room
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
    ready.append(move)
  }

  // MARK: Live or dead

  /// Examines the blocks listed by the last header: live data is read, live nodes are made dirty.
  private func examineBlocks() throws(Stop) {
    while let block = blocks.last, reads.count + ready.count < Self.movesAtATime {
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
      checksum: entry.checksum,
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
    guard !ready.isEmpty, isEnd || ready.count >= Self.movesAtATime / 2 else { return }
    ready.sort { ($0.inode, $0.index) < ($1.inode, $1.index) }
    while !ready.isEmpty {
      guard writeMoves() else { return giveUpVictim() }
    }
  }

  /// Abandons the victim, because the room that there was when it was chosen has been used by others. Blocks
  /// not yet moved stay where they are.
  private func giveUpVictim() {
    for move in ready { cache.giveBack(move.frame) }
    ready.removeAll(keepingCapacity: true)
    blocks.removeAll(keepingCapacity: true)
    headerOffset = nil
    isGivenUp = true
  }

  private func writeMoves() -> Bool {
    if head.segment == nil || head.offset + 2 > volume.geometry.segmentBlocks {
      guard segments.freeCount > space.segmentDemand(), let segment = segments.take() else {
        return false
      }
      if let old = head.segment { segments.close(old) }
      head.segment = segment
      head.offset = 0
    }
    let header = cache.takeBuffer()
    guard header != .none, let segment = head.segment else { return false }
    let index = writes.take(.cleaner)
    let write = writes[index]
    let address = volume.geometry.segmentBlock(segment) + UInt64(head.offset)
    writes.place(index, segment: segment, at: address)
    writes.append(header, to: index)
    var writer = LogHeaderWriter(cache.page(header))
    while var move = ready.first, writer.hasRoom, write.count < 128,
      Int(head.offset) + write.count < Int(volume.geometry.segmentBlocks)
    {
      ready.removeFirst()
      move.to = address + UInt64(write.count)
      writes.append(move.frame, to: index)
      writer.add(
        OwnerRun(kind: .data, number: move.inode, generation: move.generation, index: move.index),
        checksum: move.checksum)
      writes.add(move, to: index)
    }
    seal(&writer, index, address)
    return true
  }

  private func seal(_ writer: inout LogHeaderWriter, _ index: Int, _ address: UInt64) {
    let write = writes[index]
    var header = LogHeader()
    header.head = .cleaner
    header.sequence = head.sequence
    header.epoch = writes.epoch
    header.address = address
    _ = writer.finish(
      header, inline: UnsafeRawBufferPointer(start: nil, count: 0), recordBytes: 0, nonce: volume.nonce,
      checksum: volume.checksum)
    head.sequence += 1
    head.offset += UInt32(truncatingIfNeeded: write.count)
    writesInFlight += 1
    segments.wrote(write.segment)
    writes.submit(index)
  }

  /// A log write of moved blocks has ended.
  func writeEnded(_ index: Int, _ code: Int32) {
    let write = writes[index]
    defer { writes.release(index) }
    writesInFlight -= 1
    blockCount += UInt64(write.moves.count)
    guard code == 0 else {
      errors.record(
        .write, "the cleaner could not write (\(ErrnoText.of(code))); what it moved stays where it was",
        block: write.place, count: write.count, code: code)
      if let segment = head.segment { segments.close(segment) }
      head.segment = nil
      return
    }
    segments.wrote(write.segment)
    moved.append(contentsOf: write.moves)
  }

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
      ready.isEmpty, moved.isEmpty, writesInFlight == 0
    else { return }
    victim = nil
    guard !isGivenUp else {
      isGivenUp = false
      _ = askForCheckpoints()
      return
    }
    cleaned.insert(segment)
    emptied += 1
    segmentCount += 1
    // The table counts live blocks but none was found: they belong to damaged files, or to detached trees
    // that are freed later.
    if found == 0 { unmovable.insert(segment) }
  }

  // MARK: Invariants

  func checkInvariants(_ invariants: inout Invariants) {
    let frames = Array(reads.keys) + ready.map(\.frame) + (headerFrame == .none ? [] : [headerFrame])
    invariants.expect(frames.allSatisfy { cache[$0].state == .buffer }, "the cleaner has lost a frame")
    invariants.expect("frames of the cleaner, each once", Set(frames).count, equals: frames.count)
    invariants.expect(
      victim != nil
        || (blocks.isEmpty && ready.isEmpty && reads.isEmpty && moved.isEmpty && writesInFlight == 0),
      "blocks of no segment are being moved")
    if let segment = head.segment {
      invariants.expect(segments.isOpen(Int(segment)), "the cleaner's segment is not open")
    }
  }
}

/// A block of the victim, as its log header describes it.
struct OwnedBlock {
  var run: OwnerRun
  var address: UInt64
}
