import Format

/// A checkpoint on its way to the device.
struct Checkpoint {
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
    case usage
    case firstFlush
    case pack
    case lastFlush
  }

  var phase = Phase.idle
  var isWanted = false
  /// Steps done in preparing the cut; after some nothing may be changed any more until it has been made.
  var preparations = 0
  var holdsChanges = false
  /// The last durable checkpoint.
  var durable: UInt64 = 0
  /// The checkpoint in whose time things are written now: one more than the last cut.
  var age: UInt64 = 1
  /// The first checkpoint that leads into the log's present chain. Nothing in the chain counts as durable before a second one
  /// does, so that losing all copies of a checkpoint never loses what came after it.
  var chainSince: UInt64 = 0
  /// When the oldest change was made that no checkpoint holds; 0 for none.
  var oldestChange: UInt64 = 0
  /// The checkpoint under way.
  var pack = CheckpointPack()
  /// Which copy of each usage block is valid, and its checksum.
  var usage: [CheckpointPack.UsageSelection] = []
  var usageCursor = 0
  /// Table blocks as of the cut, lowest level first.
  var tables: [FrameIndex] = []
  var tableCursor = 0

  /// The log that nodes and tables are written to.
  var head = HeadPosition()
  /// The log write being filled.
  var open: (index: Int, header: FrameIndex, writer: LogHeaderWriter)?
  /// Device writes of this checkpoint under way, and the blocks of its log writes of nodes, that being filled included.
  var writesInFlight = 0
  var blocksInFlight = 0
  var buffers: [FrameIndex] = []
  var packFrames: [UInt32] = []
  let packCommandFrames = CommandFrames()
  /// Set by a write or flush of this checkpoint that failed.
  var hasFailed = false
  /// The checkpoint is the last one: nothing follows it in the log.
  var isLast = false
  /// Segments whose discard is under way.
  var discarding = 0
}

extension FileSystem {
  /// Whether a checkpoint ought to be made.
  var needsCheckpoint: Bool {
    checkpoint.isWanted || cleaner.waitsFor > checkpoint.durable || hasManyDirtyNodes
      || log.blocksSinceCut > checkpointLogLimit
  }

  /// When a checkpoint has to be made only because time has passed.
  var checkpointDeadline: UInt64 {
    checkpoint.oldestChange == 0 || checkpoint.phase != .idle
      ? .max : checkpoint.oldestChange &+ 6 &* options.commitInterval
  }

  /// Does a step of the checkpoint under way, or begins one.
  /// - Returns: false when there is nothing to do, or it waits.
  func checkpointStep() -> Bool {
    guard !isReadOnly else { return false }
    // No requests run during a mount, so each step of it is an event of its own.
    if !isReady { beginEvent() }
    switch checkpoint.phase {
    case .idle:
      guard needsCheckpoint || checkpointDeadline <= now.monotonic else { return false }
      checkpoint.phase = .preparing
      checkpoint.preparations = 0
      return true
    case .preparing: return attempt(.checkpoint) { () throws(Stop) in try prepareCut() }
    case .nodes:
      return mayWriteNodes && attempt(.checkpoint) { () throws(Stop) in writeNodes() }
    case .tables:
      return mayWriteNodes && attempt(.checkpoint) { () throws(Stop) in try writeTables() }
    case .settling:
      guard checkpoint.writesInFlight == 0, log.completedThrough + 1 >= checkpoint.pack.log.sequence else {
        return false
      }
      let covered = log.chainStart..<max(log.chainStart, checkpoint.pack.log.sequence)
      if log.failed.contains(where: covered.contains) { return abandonCheckpoint() }
      guard usage.settle(checkpoint.pack.sequence) else { return true }
      checkpoint.phase = .usage
      checkpoint.usageCursor = 0
      return true
    case .usage: return writeUsage()
    case .firstFlush, .lastFlush: return false
    case .pack: return false
    }
  }

  /// A log write that the checkpoint refers to failed after the cut: the checkpoint is never finished, and the next one has
  /// its number. Nodes that were written stay where they are.
  private func abandonCheckpoint() -> Bool {
    checkpoint.phase = .idle
    checkpoint.age = checkpoint.pack.sequence
    checkpoint.isWanted = true
    return true
  }

  // MARK: The cut

  /// Steps of preparing after which changes wait: what is left then ends.
  private static let preparationsBeforeHolding = 16

  /// Does a step towards the cut, and makes it when nothing is left to do before it.
  private func prepareCut() throws(Stop) {
    if log.isBroken { try beginFreshChain() }
    checkpoint.preparations += 1
    if checkpoint.preparations > Self.preparationsBeforeHolding { checkpoint.holdsChanges = true }
    try processFrees(inodeTable)
    try processFrees(internalTable)
    while !isSpent, !uncommitted.isEmpty || log.hasRecords || !urgentPages.isEmpty { try emitSome() }
    try holdTables()
    guard !hasPendingFrees, uncommitted.isEmpty, !log.hasRecords, urgentPages.isEmpty, looseNodes.count == 0
    else { return }
    try finishSegmentAtCut()
    cut()
  }

  /// After a failed log write: the chain goes on in a fresh segment, reached only through the checkpoint being made and those
  /// after it.
  private func beginFreshChain() throws(Stop) {
    guard log.inFlight.isEmpty else { throw .again }
    guard usage.freeCount > 2, let segment = usage.take(age: checkpoint.age),
      let next = usage.take(age: checkpoint.age)
    else { return fail("no free segment to go on in after a failed write") }
    if let old = log.position.segment { usage.close(old) }
    usage.close(log.nextSegment)
    log.position.segment = segment
    log.position.offset = 0
    log.nextSegment = next
    log.isBroken = false
    log.chainStart = log.position.sequence
    checkpoint.chainSince = checkpoint.age
  }

  /// The tables must be in memory when the nodes get their new addresses: table blocks above loose nodes are made dirty, as many
  /// as one event has time for.
  private func holdTables() throws(Stop) {
    var missing = 0
    var isFurther = false
    var frame = looseNodes.first
    while frame != .none, missing < Self.readsAhead, !isSpent {
      let node = frame
      work += Work.frame
      do throws(Stop) {
        try holdTable(above: cache.frames[Int(node)].key)
        // Table blocks that became dirty are behind it now.
        frame = cache.frames[Int(node)].next
        cache.remove(node, from: &looseNodes)
        cache.frames[Int(node)].isHeld = true
        cache.append(node, to: &heldNodes)
        isFurther = true
      } catch .again {
        // Go on, so that what is missing is read together.
        missing += 1
        frame = cache.frames[Int(node)].next
      }
    }
    if isFurther { releasePins() }
    guard missing == 0 else { throw .again }
  }

  /// The table block above a dirty block must be dirty too. It may be clean although the block below is not: it was written by
  /// the last checkpoint after the block had been changed again.
  private func holdTable(above key: NodeKey) throws(Stop) {
    let isInodes = key.kind == .inode || key.kind == .inodeTable
    let table = isInodes ? inodeTable : internalTable
    let isNode = key.kind == .inode || key.kind == .internalNode
    let level = isNode ? 0 : key.level + 1
    guard level < Int(table.root.height) else { return }
    let above = cache.find(NodeKey(table: table.blockKind, level: level, index: key.number >> 8))
    if above != .none, cache.frames[Int(above)].isDirty { return }
    _ = try dirtyTablePath(table, isNode ? key.number : key.number << (8 * UInt64(level)))
  }

  /// A cut names the place of the next header: it must not lie behind the end of a segment.
  private func finishSegmentAtCut() throws(Stop) {
    guard log.position.offset >= geometry.segmentBlocks else { return }
    guard let next = usage.take(age: checkpoint.age) else { throw .again }
    if let segment = log.position.segment { usage.close(segment) }
    log.position.segment = log.nextSegment
    log.position.offset = 0
    log.nextSegment = next
  }

  private func cut() {
    checkpoint.isWanted = false
    checkpoint.hasFailed = false
    checkpoint.oldestChange = 0
    usage.cut()
    var pack = CheckpointPack()
    pack.sequence = checkpoint.age
    pack.epoch = log.epoch
    pack.flags = checkpoint.isLast ? CheckpointPack.cleanFlag : 0
    pack.time = now.realtime
    pack.log.block = geometry.segmentBlock(log.position.segment ?? 0) + UInt64(log.position.offset)
    pack.log.sequence = log.position.sequence
    pack.log.previousChecksum = log.previousChecksum
    pack.log.nextSegment = log.nextSegment
    pack.inodes = inodeTable.root
    pack.internals = internalTable.root
    pack.reservedBlocks = reservedBlocks
    checkpoint.pack = pack
    checkpoint.age += 1
    log.blocksSinceCut = 0
    freezeNodes()
    checkpoint.phase = .nodes
    guard checkpoint.holdsChanges else { return }
    checkpoint.holdsChanges = false
    wakeStalled()
  }

  /// Dirty nodes belong to the checkpoint from here on; table blocks are noted to be written after them.
  private func freezeNodes() {
    checkpoint.tables.removeAll(keepingCapacity: true)
    checkpoint.tableCursor = 0
    var frame = heldNodes.first
    while frame != .none {
      let next = cache.frames[Int(frame)].next
      switch cache.frames[Int(frame)].key.kind {
      case .inode, .internalNode:
        makeClean(frame)
        cache.frames[Int(frame)].isFrozen = true
        cache.append(frame, to: &frozenNodes)
      default: checkpoint.tables.append(frame)
      }
      frame = next
    }
    let frames = cache.frames
    checkpoint.tables.sort { frames[Int($0)].key.level < frames[Int($1)].key.level }
  }

  // MARK: Nodes and tables

  /// Log writes of nodes do not fill the memory that waits for the device.
  private var mayWriteNodes: Bool {
    checkpoint.writesInFlight == 0
      || checkpoint.blocksInFlight < max(256, Int(clamping: memory.frameCount) / 16)
  }

  private func writeNodes() {
    for _ in 0..<options.checkpointNodesPerStep where frozenNodes.first != .none {
      writeFrozen(frozenNodes.first)
    }
    if frozenNodes.first == .none { checkpoint.phase = .tables }
  }

  /// Writes a node as it is at this moment, which is as it was at the cut.
  func writeFrozen(_ frame: FrameIndex) {
    let key = cache.frames[Int(frame)].key
    cache.remove(frame, from: &frozenNodes)
    cache.frames[Int(frame)].isFrozen = false
    let table = key.kind == .inode ? inodeTable : internalTable
    let leafKey = NodeKey(table: table.blockKind, level: 0, index: key.number >> 8)
    let leafFrame = cache.find(leafKey)
    guard isCurrent(leafFrame, leafKey) else { return fail("a node table block is missing from memory") }
    let leaf = cache.page(leafFrame)
    let offset = Int(key.number & 255) * Entry.size
    var entry = Entry(leaf, at: offset)
    guard
      let place = writeBlock(cache.page(frame), OwnerRun(kind: key.kind, number: key.number))
    else { return }
    usage.moveAtCut(from: entry.address, to: place.address)
    if entry.flags & Entry.allocated != 0 { forgetMark(leaf) }
    entry = Entry(address: place.address, checksum: place.checksum, stamp: entry.stamp)
    entry.store(leaf, at: offset)
  }

  private func writeTables() throws(Stop) {
    let end = min(checkpoint.tableCursor + options.checkpointNodesPerStep, checkpoint.tables.count)
    for index in checkpoint.tableCursor..<end { writeTable(checkpoint.tables[index]) }
    checkpoint.tableCursor = end
    guard end == checkpoint.tables.count else { return }
    sealNodes()
    checkpoint.phase = .settling
  }

  /// Writes a table block and tells the block above, or the root.
  private func writeTable(_ frame: FrameIndex) {
    let key = cache.frames[Int(frame)].key
    makeClean(frame)
    let isInodes = key.kind == .inodeTable
    let table = isInodes ? inodeTable : internalTable
    let index = key.number & 0xFFFF_FFFF_FFFF
    let run = OwnerRun(kind: key.kind, number: UInt64(key.level), index: index)
    guard let place = writeBlock(cache.page(frame), run) else { return }
    let height = Int(isInodes ? checkpoint.pack.inodes.height : checkpoint.pack.internals.height)
    let aboveKey = NodeKey(table: key.kind, level: key.level + 1, index: index >> 8)
    let above = cache.find(aboveKey)
    let isRoot = key.level == Int(table.root.height) - 1
    guard isRoot || isCurrent(above, aboveKey) else {
      return fail("a node table block is missing from memory")
    }
    var old = table.root.address
    if !isRoot {
      let offset = Int(index & 255) * Entry.size
      old = Entry(cache.page(above), at: offset).address
      Entry(address: place.address, checksum: place.checksum).store(cache.page(above), at: offset)
    } else {
      table.root.address = place.address
      table.root.checksum = place.checksum
    }
    usage.moveAtCut(from: old, to: place.address)
    if old == 0 { newTableBlocks -= 1 }
    guard key.level == height - 1 else { return }
    if isInodes {
      checkpoint.pack.inodes.address = place.address
      checkpoint.pack.inodes.checksum = place.checksum
    } else {
      checkpoint.pack.internals.address = place.address
      checkpoint.pack.internals.checksum = place.checksum
    }
  }

  /// Adds a copy of a block to the node log.
  private func writeBlock(_ page: Page, _ run: OwnerRun) -> (address: UInt64, checksum: UInt32)? {
    guard openNodes() else { return nil }
    let buffer = cache.takeBuffer()
    guard buffer != .none, var open = checkpoint.open else {
      fail("no memory to write a node")
      return nil
    }
    let copy = cache.page(buffer)
    work += Work.copy + Work.checksum
    copy.copy(page.bytes(at: 0, count: Page.size), at: 0)
    if run.kind == .inodeTable || run.kind == .internalTable, run.number == 0 { clearMarks(copy) }
    let write = log.writes[open.index]
    let address = geometry.segmentBlock(write.segment) + UInt64(checkpoint.head.offset) + UInt64(write.count)
    let sum = checksum.of(copy)
    append(buffer, to: write)
    checkpoint.blocksInFlight += 1
    open.writer.add(run, checksum: sum)
    checkpoint.open = open
    return (address, sum)
  }

  /// Numbers marked as allocated without an address are free on disk.
  func clearMarks(_ leaf: Page) {
    for index in 0..<Entry.perBlock {
      var entry = Entry(leaf, at: index * Entry.size)
      guard entry.flags != 0 else { continue }
      entry.flags = 0
      entry.store(leaf, at: index * Entry.size)
    }
  }

  /// Makes sure that a log write of nodes is open and has room for one more block.
  private func openNodes() -> Bool {
    if let open = checkpoint.open {
      let used = Int(checkpoint.head.offset) + log.writes[open.index].count
      if open.writer.hasRoom, used < Int(geometry.segmentBlocks), log.writes[open.index].count < 128 {
        return true
      }
      sealNodes()
    }
    if checkpoint.head.segment == nil || Int(checkpoint.head.offset) + 2 > Int(geometry.segmentBlocks) {
      guard let segment = usage.take(age: checkpoint.pack.sequence) else {
        failForWantOfSegments("no free segment for the nodes of a checkpoint")
        return false
      }
      if let old = checkpoint.head.segment { usage.close(old) }
      checkpoint.head.segment = segment
      checkpoint.head.offset = 0
    }
    let header = cache.takeBuffer()
    guard header != .none, let segment = checkpoint.head.segment else {
      fail("no memory to write nodes")
      return false
    }
    let (index, write) = takeLogWrite(.nodes)
    write.segment = segment
    write.address = geometry.segmentBlock(segment) + UInt64(checkpoint.head.offset)
    append(header, to: write)
    checkpoint.blocksInFlight += 1
    checkpoint.open = (index, header, LogHeaderWriter(cache.page(header)))
    return true
  }

  /// Sends the open log write of nodes to the device.
  private func sealNodes() {
    guard var open = checkpoint.open else { return }
    checkpoint.open = nil
    let write = log.writes[open.index]
    var header = LogHeader()
    header.head = .nodes
    header.sequence = checkpoint.head.sequence
    header.epoch = log.epoch
    header.address = geometry.segmentBlock(write.segment) + UInt64(checkpoint.head.offset)
    _ = open.writer.finish(
      header, inline: UnsafeRawBufferPointer(start: nil, count: 0), recordBytes: 0, nonce: nonce,
      checksum: checksum)
    checkpoint.head.sequence += 1
    checkpoint.head.offset += UInt32(truncatingIfNeeded: write.count)
    checkpoint.writesInFlight += 1
    usage.wrote(write.segment, age: checkpoint.pack.sequence)
    submit(open.index, write, at: header.address)
  }
}
