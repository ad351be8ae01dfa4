import BlockProtocol
import Format

/// A block that the cleaner moves.
struct Move {
  var inode: UInt64
  var generation: UInt32
  var index: UInt64
  var from: UInt64
  var checksum: UInt32
  /// Where it goes; known when the log write is formed.
  var to: UInt64 = 0
  var frame: FrameIndex
}

/// A block of the victim, as its header describes it.
struct OwnedBlock {
  var run: OwnerRun
  var address: UInt64
}

/// Making room: live blocks leave segments that hold few of them, so that a later checkpoint finds those empty.
struct Cleaner {
  var isWanted = false
  var victim: UInt32?
  /// Where the next header of the victim lies, in blocks from its start; nil when all were read.
  var headerOffset: UInt32?
  var headerFrame = FrameIndex.none
  /// The victim is left before all of it was moved.
  var isGivenUp = false
  /// The header is on its way from the device.
  var isReadingHeader = false
  /// Blocks of the header read last that are still to be looked at, last first.
  var blocks: [OwnedBlock] = []
  /// Live blocks found in the victim, to compare with the usage table.
  var found: UInt32 = 0
  /// Moves being read, and moves read and waiting to be written.
  var reads: [FrameIndex: Move] = [:]
  var ready: [Move] = []
  var writesInFlight = 0
  /// Moves whose blocks are at their new place, to be entered in the maps.
  var moved: [Move] = []
  var head = HeadPosition()
  /// Segments that could not be emptied: damage in them is left for fsck.
  var unmovable: Set<UInt32> = []
  var search = VictimSearch(isGreedy: false)
  /// The checkpoint after which nothing was worth cleaning; the next search comes after another.
  var restsAfter: UInt64?
  /// Segments emptied since the last checkpoint was asked for.
  var emptied = 0
  /// Segments cleaned that no checkpoint has shown to be empty yet.
  var cleaned: Set<UInt32> = []
  /// How many blocks were live when nothing at all could be cleaned, as far as the last checkpoint shows.
  var exhaustedAt: UInt64?
  /// The checkpoint after which what was cleaned comes free.
  var waitsFor: UInt64 = 0
}

extension FileSystem {
  /// Moves under way at a time.
  private static let movesAtATime = 96
  /// Segments cleaned between checkpoints at most.
  private static let segmentsAtATime = 32

  /// Does a step of cleaning.
  /// - Returns: false when there is nothing to do, or it waits.
  func cleanerStep() -> Bool {
    guard !isReadOnly, checkpoint.durable >= cleaner.waitsFor else { return false }
    guard cleaner.victim != nil || chooseVictim() else { return false }
    guard mayDirtyNodes else {
      checkpoint.isWanted = true
      return false
    }
    return attempt(.cleaner) { () throws(Stop) in
      try enterMoves()
      try examineBlocks()
      if cleaner.blocks.isEmpty { try readHeader() }
      writeMovesIfDue()
      endVictimIfDone()
    }
  }

  // MARK: Choosing

  /// Whether there was nothing to clean when that was last looked at, and nothing was freed since.
  var isExhausted: Bool {
    guard let live = cleaner.exhaustedAt else { return false }
    return usage.liveTotal >= live && !usage.hasEmptySegments && !usage.hasReleased
      && checkpoint.discarding == 0
  }

  private func chooseVictim() -> Bool {
    let isDue = wantsCleaning && cleaner.restsAfter != checkpoint.durable
    guard cleaner.isWanted || isDue, !isExhausted else { return false }
    // What is being discarded is free in a moment.
    guard checkpoint.discarding == 0, !usage.hasReleased else { return false }
    // What is empty already needs only checkpoints.
    if cleaner.emptied == 0, usage.hasEmptySegments { return askForCheckpoints() }
    guard cleaner.emptied < Self.segmentsAtATime else { return askForCheckpoints() }
    if cleaner.search.isGreedy != cleaner.isWanted {
      cleaner.search = VictimSearch(isGreedy: cleaner.isWanted)
    }
    guard cleaner.search.isOver else {
      searchVictims()
      return true
    }
    while let segment = cleaner.search.next() {
      // It may have been written or emptied since it was found.
      guard victimScore(Int(segment)) != nil else { continue }
      guard hasRoom(toClean: Int(segment)) else { break }
      cleaner.victim = segment
      cleaner.headerOffset = 0
      cleaner.found = 0
      return true
    }
    return cleaner.emptied > 0 ? askForCheckpoints() : noteExhausted()
  }

  private func searchVictims() {
    var search = VictimSearch(isGreedy: cleaner.isWanted)
    swap(&search, &cleaner.search)
    search.step(count: usage.count) { victimScore($0) }
    cleaner.search = search
  }

  /// There is nothing to clean, or nothing that is worth it.
  private func noteExhausted() -> Bool {
    if cleaner.isWanted { cleaner.exhaustedAt = usage.liveTotal }
    cleaner.restsAfter = checkpoint.durable
    cleaner.search = VictimSearch(isGreedy: false)
    cleaner.isWanted = false
    wakeStalled()
    return false
  }

  /// Two checkpoints free what is empty now.
  private func askForCheckpoints() -> Bool {
    cleaner.emptied = 0
    cleaner.search = VictimSearch(isGreedy: false)
    cleaner.isWanted = false
    cleaner.waitsFor = checkpoint.age + 1
    checkpoint.isWanted = true
    return false
  }

  /// How good a victim a segment is, nil when it must not be one. Greedy when room is short; else by cost and benefit
  /// (Rosenblum and Ousterhout 1992), old segments with little in them.
  private func victimScore(_ segment: Int) -> Double? {
    let live = usage.liveBlocks(segment)
    let size = geometry.segmentBlocks
    // What is not asked for has to be worth it.
    let most = cleaner.isWanted ? size - (size / 128 + 1) : size / 4 * 3
    guard usage.isUsed(segment), !usage.isOpen(segment), live > 0, live < most,
      usage.age(segment) <= checkpoint.durable,
      !cleaner.unmovable.contains(UInt32(truncatingIfNeeded: segment)),
      !cleaner.cleaned.contains(UInt32(truncatingIfNeeded: segment))
    else { return nil }
    let use = Double(live) / Double(size)
    return cleaner.isWanted ? 1 - use : (1 - use) * Double(checkpoint.age - usage.age(segment)) / (1 + use)
  }

  /// Whether what is live in a segment, and the maps that lead to it, can be written without touching what a checkpoint may
  /// need.
  private func hasRoom(toClean segment: Int) -> Bool {
    let live = Int(usage.liveBlocks(segment))
    let maps = min(live, Int(clamping: inodeTable.root.used &+ internalTable.root.used))
    let room = (usage.freeCount - segmentDemand()) * Int(geometry.segmentBlocks - 2)
    return live + maps + 8 <= room
  }

  // MARK: Reading the victim

  /// Reads the victim's next header, and lists the blocks behind it.
  private func readHeader() throws(Stop) {
    guard let victim = cleaner.victim, let offset = cleaner.headerOffset, offset < geometry.segmentBlocks
    else {
      cleaner.headerOffset = nil
      return
    }
    if cleaner.headerFrame == .none {
      let frame = cache.takeBuffer()
      guard frame != .none else { throw .again }
      cleaner.headerFrame = frame
      cleaner.isReadingHeader = true
      readForCleaner(geometry.segmentBlock(victim) + UInt64(offset), frame)
      throw .again
    }
    guard !cleaner.isReadingHeader else { throw .again }
    let address = geometry.segmentBlock(victim) + UInt64(offset)
    let header = LogHeader(
      decoding: cache.page(cleaner.headerFrame), address: address, nonce: nonce, checksum: checksum)
    cache.giveBack(cleaner.headerFrame)
    cleaner.headerFrame = .none
    guard let header else {
      cleaner.headerOffset = nil
      return
    }
    cleaner.headerOffset = offset + 1 + UInt32(header.blockCount)
    listBlocks(of: header)
  }

  private func listBlocks(of header: LogHeader) {
    var address = header.address + 1 + UInt64(header.recordBlocks)
    for run in header.runs {
      for step in 0..<UInt64(run.count) {
        var one = run
        one.count = 1
        if run.kind == .inode || run.kind == .internalNode { one.number += step } else { one.index += step }
        cleaner.blocks.append(OwnedBlock(run: one, address: address))
        address += 1
      }
    }
    cleaner.blocks.reverse()
  }

  private func readForCleaner(_ block: UInt64, _ frame: FrameIndex) {
    effects.commands.append(
      BlockCommand(
        .read, block: block, count: 1, frames: identity + Int(frame),
        tag: Tag(.cleanerRead, UInt64(frame)).raw))
  }

  /// A header or a block to be moved has arrived, or not.
  func cleanerReadEnded(_ frame: FrameIndex, _ code: Int32) {
    guard let move = cleaner.reads.removeValue(forKey: frame) else {
      if code != 0 { cache.page(frame).clear() }
      cleaner.isReadingHeader = false
      return
    }
    guard code == 0, checksum.of(cache.page(frame)) == move.checksum else {
      noteError(
        code == 0 ? .checksum : .read,
        "block \(move.index) of inode \(move.inode) is damaged and cannot be moved\(Code.reason(code))",
        block: move.from, inode: move.inode, code: code, place: move.from)
      if let victim = cleaner.victim { cleaner.unmovable.insert(victim) }
      cache.giveBack(frame)
      return
    }
    cleaner.ready.append(move)
  }

  // MARK: Live or dead

  /// Looks at the blocks behind the last header: live data is read, live nodes are made dirty.
  private func examineBlocks() throws(Stop) {
    while let block = cleaner.blocks.last, cleaner.reads.count + cleaner.ready.count < Self.movesAtATime {
      if block.run.kind != .data, dirtyNodeCount > dirtyNodeLimit {
        checkpoint.isWanted = true
        throw .again
      }
      do throws(Stop) { try examine(block) } catch .fail {
        // Damage on the way: the block stays where it is, and with it the segment.
        if let victim = cleaner.victim { cleaner.unmovable.insert(victim) }
      }
      cleaner.blocks.removeLast()
      // What the next blocks need may be much: only one block's way through the tables is kept.
      unpin(currentWaiter)
    }
  }

  private func examine(_ block: OwnedBlock) throws(Stop) {
    switch block.run.kind {
    case .data: try examineData(block)
    case .inode:
      guard try tableEntry(inodeTable, block.run.number).address == block.address else { return }
      modify(try inode(block.run.number).page)
      cleaner.found += 1
    case .internalNode:
      guard try tableEntry(internalTable, block.run.number).address == block.address else { return }
      modify(try node(block.run.number, as: .unchecked))
      cleaner.found += 1
    case .inodeTable: try examineTable(inodeTable, block)
    case .internalTable: try examineTable(internalTable, block)
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
    } else if let above = try tableBlock(table, level: level + 1, index: index >> 8) {
      address = Entry(above, at: Int(index & 255) * Entry.size).address
    } else {
      address = 0
    }
    guard address == block.address else { return }
    _ = try dirtyTablePath(table, index << (8 * UInt64(level + 1)))
    cleaner.found += 1
  }

  private func examineData(_ block: OwnedBlock) throws(Stop) {
    let run = block.run
    let owner = try tableEntry(inodeTable, run.number)
    guard owner.stamp == run.generation, owner.address != 0 || owner.flags & Entry.allocated != 0 else {
      return
    }
    let inode = try inode(run.number)
    guard inode.generation == run.generation else { return }
    let entry = try liveEntry(inode, run.index, at: block.address)
    guard entry.address == block.address else { return }
    cleaner.found += 1
    let cachedFrame = dataFrame(run.number, run.index)
    // What is dirty is about to be written elsewhere anyway.
    if cachedFrame != .none, cache.frames[Int(cachedFrame)].isDirty { return }
    let frame = cache.takeBuffer()
    guard frame != .none else { throw .again }
    cleaner.reads[frame] = Move(
      inode: run.number, generation: run.generation, index: run.index, from: block.address,
      checksum: entry.checksum,
      frame: frame)
    readForCleaner(block.address, frame)
  }

  /// The map entry that may hold the block: the file's own, or that of its detached tree, which is about to be freed.
  private func liveEntry(_ inode: Inode, _ index: UInt64, at address: UInt64) throws(Stop) -> Entry {
    let entry = try mapEntry(inode, index)
    if entry.address == address || inode.detachedRoot == 0 { return entry }
    enqueueReclaim(inode.number)
    return entry
  }

  // MARK: Writing

  /// Writes what was read, when there is enough of it or nothing more is coming.
  private func writeMovesIfDue() {
    let isEnd = cleaner.blocks.isEmpty && cleaner.headerOffset == nil && cleaner.reads.isEmpty
    guard !cleaner.ready.isEmpty, isEnd || cleaner.ready.count >= Self.movesAtATime / 2 else { return }
    cleaner.ready.sort { ($0.inode, $0.index) < ($1.inode, $1.index) }
    while !cleaner.ready.isEmpty {
      guard writeMoves() else { return giveUpVictim() }
    }
  }

  /// Others have taken the room that there was when the victim was chosen: what was not moved yet stays where it is.
  private func giveUpVictim() {
    for move in cleaner.ready { cache.giveBack(move.frame) }
    cleaner.ready.removeAll(keepingCapacity: true)
    cleaner.blocks.removeAll(keepingCapacity: true)
    cleaner.headerOffset = nil
    cleaner.isGivenUp = true
  }

  private func writeMoves() -> Bool {
    if cleaner.head.segment == nil || cleaner.head.offset + 2 > geometry.segmentBlocks {
      guard usage.freeCount > segmentDemand(), let segment = usage.take(age: checkpoint.age) else {
        return false
      }
      if let old = cleaner.head.segment { usage.close(old) }
      cleaner.head.segment = segment
      cleaner.head.offset = 0
    }
    let header = cache.takeBuffer()
    guard header != .none, let segment = cleaner.head.segment else { return false }
    let (index, write) = takeLogWrite(.cleaner)
    append(header, to: write)
    write.segment = segment
    let address = geometry.segmentBlock(segment) + UInt64(cleaner.head.offset)
    var writer = LogHeaderWriter(cache.page(header))
    while var move = cleaner.ready.first, writer.hasRoom, write.count < 128,
      Int(cleaner.head.offset) + write.count < Int(geometry.segmentBlocks)
    {
      cleaner.ready.removeFirst()
      move.to = address + UInt64(write.count)
      append(move.frame, to: write)
      writer.add(
        OwnerRun(kind: .data, number: move.inode, generation: move.generation, index: move.index),
        checksum: move.checksum)
      write.moves.append(move)
    }
    sealMoves(&writer, index, write, address)
    return true
  }

  private func sealMoves(_ writer: inout LogHeaderWriter, _ index: Int, _ write: LogWrite, _ address: UInt64)
  {
    var header = LogHeader()
    header.head = .cleaner
    header.sequence = cleaner.head.sequence
    header.epoch = log.epoch
    header.address = address
    _ = writer.finish(
      header, inline: UnsafeRawBufferPointer(start: nil, count: 0), recordBytes: 0, nonce: nonce,
      checksum: checksum)
    cleaner.head.sequence += 1
    cleaner.head.offset += UInt32(truncatingIfNeeded: write.count)
    cleaner.writesInFlight += 1
    usage.wrote(write.segment, age: checkpoint.age)
    submit(index, write, at: address)
  }

  /// Moved blocks are at their new place: whoever still refers to the old one is pointed there.
  func cleanerWriteEnded(_ write: LogWrite, _ code: Int32) {
    cleaner.writesInFlight -= 1
    counters.movedBlocks += UInt64(write.moves.count)
    guard code == 0 else {
      noteError(
        .write, "the cleaner could not write (\(Code.text(code))); what it moved stays where it was",
        code: code)
      if let segment = cleaner.head.segment { usage.close(segment) }
      cleaner.head.segment = nil
      return
    }
    usage.wrote(write.segment, age: checkpoint.age)
    for move in write.moves {
      cleaner.moved.append(move)
    }
  }

  /// Enters finished moves in the maps; a map that left memory meanwhile is read again.
  private func enterMoves() throws(Stop) {
    while let move = cleaner.moved.last {
      do throws(Stop) { try finish(move) } catch .fail
      { /* The file is gone or damaged: the map entry is unchanged. */  }
      cleaner.moved.removeLast()
      releasePins()
    }
  }

  private func finish(_ move: Move) throws(Stop) {
    let inode = try inode(move.inode)
    guard inode.generation == move.generation, let slot = try mapSlot(inode, move.index),
      slot.entry.address == move.from, slot.entry.checksum == move.checksum
    else { return }
    modify(slot.page)
    let stamp = slot.entry.stamp
    Entry(address: move.to, checksum: move.checksum, stamp: stamp).store(slot.page, at: slot.offset)
    usage.add(move.to)
    usage.remove(move.from)
  }

  // MARK: The end of a victim

  private func endVictimIfDone() {
    guard let victim = cleaner.victim, cleaner.blocks.isEmpty, cleaner.headerOffset == nil,
      cleaner.reads.isEmpty,
      cleaner.ready.isEmpty, cleaner.moved.isEmpty, cleaner.writesInFlight == 0
    else { return }
    cleaner.victim = nil
    guard !cleaner.isGivenUp else {
      cleaner.isGivenUp = false
      _ = askForCheckpoints()
      return
    }
    cleaner.cleaned.insert(victim)
    cleaner.emptied += 1
    counters.cleanedSegments += 1
    // What is still live although nothing live was found belongs to damaged files, or to trees about to be freed.
    if cleaner.found == 0 { cleaner.unmovable.insert(victim) }
  }
}
