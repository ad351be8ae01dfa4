import Format

/// Applying the log writes that were read: records exactly once and in order, then the blocks that each brought.
///
/// Between two log writes a checkpoint is made by the rule by which it is made later, so that what has changed fits the cache. It
/// is the one that might have been made there when the log was written: it leads into the rest of the log.
extension FileSystem {
  func applyStep() throws(Stop) {
    guard mounting.applyIndex < mounting.entries.count else { return try beginAfterReplay() }
    let entry = mounting.entries[mounting.applyIndex]
    if mounting.applyOffset == 0, mounting.applyBlock == 0, wantsCheckpoint {
      return beginCheckpoint(before: entry)
    }
    try applyRecords(entry)
    try applyRuns(entry.header)
    log.blocksSinceCut += UInt64(entry.header.blockCount) + 1
    mounting.applyIndex += 1
    mounting.applyOffset = 0
    mounting.applyBlock = 0
  }

  private var wantsCheckpoint: Bool {
    // A page that its log write did not bring cannot go out, for the checkpoint's place is in the midst of the log.
    needsCheckpoint && !isReadOnly && dirtyPages == 0 && uncommitted.isEmpty && urgentPages.isEmpty
  }

  private func beginCheckpoint(before entry: ReplayEntry) {
    guard let segment = geometry.segment(of: entry.header.address) else { return }
    log.position = HeadPosition(
      segment: segment,
      offset: UInt32(truncatingIfNeeded: entry.header.address - geometry.segmentBlock(segment)),
      sequence: entry.header.sequence)
    log.previousChecksum = entry.header.previousChecksum
    log.nextSegment = entry.header.nextSegment
    log.completedThrough = log.lastSequence
    log.flushedThrough = log.lastSequence
    checkpoint.isWanted = true
    mounting.phase = .checkpoint
  }

  /// Nothing is written into the log's segments, and none of them comes free, until it has been applied.
  func holdLog() {
    for entry in mounting.entries {
      guard let segment = geometry.segment(of: entry.header.address), !usage.isOpen(Int(segment)) else {
        continue
      }
      usage.reopen(segment, age: checkpoint.age)
      mounting.logSegments.append(segment)
    }
    // Where there is but one checkpoint, what is empty in it is needed by none.
    if mounting.isOnlyCheckpoint || options.reusesEmptySegments { usage.releaseEmpties() }
  }

  /// The log has been applied: the checkpoints to come do not need it.
  func letGoOfLog() {
    for segment in mounting.logSegments {
      usage.wrote(segment, age: checkpoint.durable)
      usage.close(segment)
    }
    mounting.logSegments = []
  }

  private func applyRecords(_ entry: ReplayEntry) throws(Stop) {
    let result: Result<Void, Stop> = entry.records.withUnsafeBytes { bytes in
      do throws(Stop) {
        while mounting.applyOffset < bytes.count {
          let rest = UnsafeRawBufferPointer(rebasing: bytes[mounting.applyOffset...])
          var reader = RecordReader(rest)
          guard let record = reader.next() else { throw Stop.fail(Code.io) }
          guard cache.reserve(Self.framesPerOperation) else { throw Stop.again }
          try checkPossible(record)
          try replay(record)
          mounting.applyOffset += reader.offset
        }
        return .success(())
      } catch { return .failure(error) }
    }
    try result.get()
  }

  private func replay(_ record: LogRecord) throws(Stop) {
    if case .create(let create) = record {
      let id = NodeID(raw: create.node)
      try freeFormerInode(id.number)
      try prepareClaim(inodeTable, id)
      try prepare(record)
      try claimNumber(inodeTable, id)
    } else {
      try prepare(record)
    }
    try perform(record)
  }

  /// The number of a new inode may still belong to one that was an orphan at the checkpoint and freed after it.
  private func freeFormerInode(_ number: UInt64) throws(Stop) {
    while true {
      if inodeTable.isGivenUp(number) { try processAllFrees(inodeTable) }
      let entry = try tableEntry(inodeTable, number)
      guard entry.address != 0 || entry.flags & Entry.allocated != 0 else { return }
      let inode = try inode(number)
      guard inode.links == 0 else { throw .fail(Code.io) }
      try prepareNodes(Self.nodesPerWrite)
      try loadOrphan(number)
      if inode.detachedRoot != 0 { try freeDetached(inode) } else { try freeOrphan(inode) }
    }
  }

  /// Points the maps at the data that the log write carried.
  private func applyRuns(_ header: LogHeader) throws(Stop) {
    var position = Int(header.recordBlocks)
    for run in header.runs {
      for step in 0..<Int(run.count) {
        let block = position + step
        guard block >= mounting.applyBlock else { continue }
        if run.kind == .data {
          let address = header.address + 1 + UInt64(block)
          try applyData(run, index: run.index + UInt64(step), address, header.checksums[block])
        }
        mounting.applyBlock = block + 1
      }
      position += Int(run.count)
    }
  }

  private func applyData(_ run: OwnerRun, index: UInt64, _ address: UInt64, _ sum: UInt32) throws(Stop) {
    let inode: Inode
    do throws(Stop) { inode = try self.inode(run.number) } catch .fail(Code.stale) { return }
    guard inode.generation == run.generation, inode.layout == .direct || inode.layout == .tree,
      index < Self.blocks(inode.size), index < Self.maximumFileBlocks
    else { return }
    guard cache.reserve(Self.framesPerOperation) else { throw .again }
    try prepareNodes(Self.nodesPerWrite)
    try prepareMap(inode, index..<index + 1)
    dropPages(inode, index..<index + 1)
    modify(inode.page)
    if try makeMapSlot(inode, index).entry.isHole { inode.blocks &+= 1 }
    try setMapEntry(inode, index, to: address, checksum: sum)
  }
}
