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
    case superblocks, packs, usage, headers, records, verify, apply, checkpoint, done
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
  var verifyIndex = 0
  var verifyBlock = 0

  var applyIndex = 0
  var applyOffset = 0
  var applyBlock = 0
}

/// Mounting: superblock, checkpoint, usage table, the log since then, and a checkpoint of the result.
///
/// Recovery follows addresses and never scans. The end of the log is where a header is missing, or where a log write that
/// was not known to be flushed does not match its checksums.
extension FileSystem {
  /// Does as much of the mount as it can without waiting.
  func advanceMount() -> UInt64 {
    for _ in 0..<16 {
      guard failure == nil, !isReady else { return 0 }
      guard mounting.pendingReads == 0 else { return .max }
      if mountStep() { continue }
      return mounting.phase == .checkpoint ? checkpointWhileMounting() : .max
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
    case .verify: mountVerify()
    case .apply: return attempt(.mount) { () throws(Stop) in try applyStep() }
    case .checkpoint, .done: return false
    }
    return mounting.pendingReads == 0
  }

  // MARK: Reading

  /// Reads blocks, one into each of as many frames, unless they have been read already.
  /// - Returns: true when they are there.
  private func fetch(_ blocks: [UInt64]) -> Bool {
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
        DeviceCommand(
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

  private func endFetch() {
    for frame in mounting.frames { cache.giveBack(frame) }
    mounting.frames.removeAll(keepingCapacity: true)
    mounting.hasIssued = false
  }

  // MARK: Superblock, pack, usage table

  private func mountSuperblocks() {
    guard fetch([0, deviceBlocks - min(1, deviceBlocks)]) else { return }
    defer { endFetch() }
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
      if block.mustBeReadOnly { isReadOnly = true }
      mounting.phase = .packs
    } catch { failure = error.description }
  }

  private func chooseSuperblock() throws(FormatError) -> Superblock {
    do throws(FormatError) {
      return try Superblock(decoding: cache.page(mounting.frames[0]))
    } catch {
      guard let second = try? Superblock(decoding: cache.page(mounting.frames[1])) else { throw error }
      notices.append("the first superblock is damaged, the second is used; run fsck.varve")
      return second
    }
  }

  private func mountPacks() {
    let blocks = (0..<4).flatMap { pack in
      (0..<geometry.packBlocks).map { geometry.packBlock(slot: pack >> 1, copy: pack & 1) + $0 }
    }
    guard fetch(blocks) else { return }
    defer { endFetch() }
    let size = Int(geometry.packBlocks)
    let packs = (0..<4).compactMap { decodePack(Array(mounting.frames[$0 * size..<($0 + 1) * size])) }
    guard let newest = packs.max(by: { $0.sequence < $1.sequence }) else {
      failure = "no checkpoint can be read: all four copies are damaged; run fsck.varve"
      return
    }
    mounting.pack = newest
    mounting.next = newest.log
    checkpoint.durable = newest.sequence
    checkpoint.age = newest.sequence + 1
    checkpoint.usage = newest.usage
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
      usage.load(page, block: block)
    }
    mounting.usageCursor = end
    if end == checkpoint.usage.count { mounting.phase = .headers }
  }

  // MARK: The chain

  private func mountHeader() {
    let position = mounting.next
    guard fetch([position.block]) else { return }
    defer { endFetch() }
    let page = cache.page(mounting.frames[0])
    guard mounting.errors[0] == 0,
      let header = LogHeader(decoding: page, address: position.block, nonce: nonce, checksum: checksum),
      header.head == .foreground, header.sequence == position.sequence, header.epoch == mounting.pack.epoch,
      header.previousChecksum == position.previousChecksum, header.nextSegment < geometry.segmentCount,
      let segment = geometry.segment(of: position.block),
      position.block + 1 + UInt64(header.blockCount) <= geometry.segmentBlock(segment)
        + UInt64(geometry.segmentBlocks)
    else {
      mounting.phase = .verify
      return
    }
    mounting.header = header
    if header.recordBlocks > 0 {
      mounting.phase = .records
    } else {
      addEntry(header, records: header.inlineRecords)
    }
  }

  private func mountRecords() {
    guard let header = mounting.header else { return }
    guard fetch((0..<UInt64(header.recordBlocks)).map { header.address + 1 + $0 }) else { return }
    defer { endFetch() }
    var records = header.inlineRecords
    for (index, frame) in mounting.frames.enumerated() {
      let page = cache.page(frame)
      guard checksum.of(page) == header.checksums[index] else {
        // Headers after this one are not followed: whether the log ends here is decided by what was flushed.
        mounting.phase = .verify
        return
      }
      records.append(contentsOf: page.bytes(at: 0, count: Page.size))
    }
    mounting.phase = .headers
    addEntry(header, records: Array(records.prefix(Int(header.recordBytes))))
  }

  private func addEntry(_ header: LogHeader, records: [UInt8]) {
    mounting.entries.append(ReplayEntry(header: header, records: records))
    mounting.next.sequence += 1
    mounting.next.previousChecksum = header.checksum
    guard let segment = geometry.segment(of: header.address) else { return }
    let end = geometry.segmentBlock(segment) + UInt64(geometry.segmentBlocks)
    let behind = header.address + 1 + UInt64(header.blockCount)
    let leaves = header.flags & LogHeader.leavesSegment != 0 || behind >= end
    mounting.next.block = leaves ? geometry.segmentBlock(header.nextSegment) : behind
    mounting.next.nextSegment = header.nextSegment
  }

  /// Reads the data of log writes that were not known to be flushed; the first that does not match ends the log.
  private func mountVerify() {
    let flushed = mounting.entries.last?.header.flushedThrough ?? 0
    while mounting.verifyIndex < mounting.entries.count,
      mounting.entries[mounting.verifyIndex].header.sequence <= flushed
        || mounting.verifyBlock >= mounting.entries[mounting.verifyIndex].header.blockCount
    {
      mounting.verifyIndex += 1
      mounting.verifyBlock = 0
    }
    guard mounting.verifyIndex < mounting.entries.count else {
      mounting.phase = .apply
      return
    }
    let header = mounting.entries[mounting.verifyIndex].header
    let end = min(mounting.verifyBlock + 128, header.blockCount)
    let range = mounting.verifyBlock..<end
    guard fetch(range.map { header.address + 1 + UInt64($0) }) else { return }
    defer { endFetch() }
    let matches = range.allSatisfy {
      mounting.errors[$0 - range.lowerBound] == 0
        && checksum.of(cache.page(mounting.frames[$0 - range.lowerBound])) == header.checksums[$0]
    }
    if matches {
      mounting.verifyBlock = end
    } else {
      mounting.entries.removeSubrange(mounting.verifyIndex...)
      mounting.phase = .apply
    }
  }

  // MARK: Applying

  private func applyStep() throws(Stop) {
    guard mounting.applyIndex < mounting.entries.count else { return try beginAfterReplay() }
    let entry = mounting.entries[mounting.applyIndex]
    if mounting.applyOffset == 0, mounting.applyBlock == 0,
      let segment = geometry.segment(of: entry.header.address)
    {
      usage.claim(segment, age: checkpoint.age)
    }
    try applyRecords(entry)
    try applyRuns(entry.header)
    mounting.applyIndex += 1
    mounting.applyOffset = 0
    mounting.applyBlock = 0
  }

  private func applyRecords(_ entry: ReplayEntry) throws(Stop) {
    let result: Result<Void, Stop> = entry.records.withUnsafeBytes { bytes in
      do throws(Stop) {
        while mounting.applyOffset < bytes.count {
          let rest = UnsafeRawBufferPointer(rebasing: bytes[mounting.applyOffset...])
          var reader = RecordReader(rest)
          guard let record = reader.next() else { throw Stop.fail(Code.io) }
          guard cache.reserve(Self.framesPerOperation) else { throw Stop.again }
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
      let entry = try tableEntry(inodeTable, number)
      guard entry.address != 0 || entry.flags & Entry.allocated != 0 else { return }
      if !inodeTable.pendingFrees.contains(number) {
        let inode = try inode(number)
        guard inode.links == 0 else { throw .fail(Code.io) }
        try prepareNodes(Self.nodesPerWrite)
        try loadOrphan(number)
        if inode.detachedRoot != 0 { try freeDetached(inode) } else { try freeOrphan(inode) }
      }
      try processFrees(inodeTable)
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
    if try makeMapSlot(inode, index).entry.isHole { inode.blocks += 1 }
    try setMapEntry(inode, index, to: address, checksum: sum)
  }

  /// The log has been applied: a new chain begins in a fresh segment, and a checkpoint with a new epoch makes all of it
  /// durable before the first request.
  private func beginAfterReplay() throws(Stop) {
    let last = mounting.entries.last?.header.sequence ?? mounting.pack.log.sequence - 1
    let wasEmpty = mounting.entries.isEmpty
    mounting.entries = []
    log.epoch = mounting.pack.epoch + 1
    log.position.sequence = last + 1
    log.completedThrough = last
    log.flushedThrough = last
    checkpoint.head.sequence = mounting.pack.sequence << 20
    cleaner.head.sequence = mounting.pack.sequence << 20
    _ = try inode(NodeID.root)
    guard !isReadOnly else {
      if !wasEmpty { notices.append("the log was replayed in memory only") }
      return becomeReady()
    }
    guard let segment = usage.take(age: checkpoint.age), let next = usage.take(age: checkpoint.age) else {
      failure = "no free segment to write to; run fsck.varve"
      return
    }
    log.position.segment = segment
    log.nextSegment = next
    checkpoint.isWanted = true
    mounting.phase = .checkpoint
  }

  private func checkpointWhileMounting() -> UInt64 {
    var isBusy = true
    while isBusy, failure == nil {
      isBusy = checkpointStep()
      if checkpoint.phase == .idle, !checkpoint.isWanted {
        becomeReady()
        return 0
      }
    }
    return .max
  }

  private func becomeReady() {
    mounting.phase = .done
    isReady = true
    if !isReadOnly { reclaim.scanCookie = 0 }
  }
}
