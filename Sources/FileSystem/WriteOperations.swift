import CMachine
import FileProtocol
import Format

extension FileSystem {
  /// Dirty pages at which they begin to go out: enough for log writes of full size, few enough to be sorted quickly.
  private static let pagesBeforeCommit = 1024
  private static let synchronousFlags = UInt32(O_SYNC | O_DSYNC)

  /// write(2): into the inode while the file is small, else into dirty pages that the log takes later.
  func write(_ slot: Int) throws(Stop) {
    let request = requests[slot]
    if !slots[slot].isApplied {
      try applyWrite(slot, request)
      slots[slot].isApplied = true
      if isSpent, request.flags & Self.synchronousFlags != 0 { throw goOn() }
    }
    replies[slot].count = request.length
    if request.flags & Self.synchronousFlags != 0 { return try sync(slot, request.node) }
    finish(slot)
  }

  private func applyWrite(_ slot: Int, _ request: Request) throws(Stop) {
    try beginChange(pages: Int(clamping: request.length >> 12) + 2)
    let inode = try inode(NodeID(raw: request.node))
    guard inode.isRegular else { throw .fail(Code.invalid) }
    let (end, overflows) = request.offset.addingReportingOverflow(request.length)
    guard !overflows, end <= Inode.maximumSize else { throw .fail(Code.fileTooBig) }
    guard request.length > 0 else { return }
    guard request.payloadOffset + Int(clamping: request.length) <= Int(request.frameCount) * Page.size else {
      throw .fail(Code.invalid)
    }
    try preparePrivileges(inode)
    noteCached(request)
    let isLonger = end > inode.size
    let payload = UnsafeRawBufferPointer(
      start: memory.base + Int(request.firstFrame) * Page.size + request.payloadOffset,
      count: Int(request.length))
    if staysInline(inode, end: end) {
      try dropPrivileges(inode, slot)
      let record = LogRecord.writeInline(
        node: request.node, offset: UInt32(request.offset), time: now.realtime, data: payload)
      try perform(record)
      note(record)
    } else {
      try writePages(slot, inode, request.offset, end, payload)
    }
    makeUpForLost(inode.number, request.offset..<end)
    if request.isDirect { noteDirectWrite(slot, inode, request.offset..<end, isLonger: isLonger) }
  }

  /// Copies a payload into dirty pages of a file with a map.
  private func writePages(
    _ slot: Int, _ inode: Inode, _ offset: UInt64, _ end: UInt64, _ payload: UnsafeRawBufferPointer
  ) throws(Stop) {
    let range = offset >> 12..<Self.blocks(end)
    guard dirtyPages + range.count <= dirtyPageLimit || dirtyPages == 0 else {
      startCommit(isDurable: false)
      throw .again
    }
    try prepareNodes(Self.nodesPerWrite)
    try prepareMap(inode, range)
    try preparePartialPages(inode, offset, end)
    // Nobody waits for the answer to a write-back, and the program has gone on: it is refused as late as can be.
    let user = requests[slot].isWriteback ? Self.root : requests[slot].uid
    try checkSpace(try spaceForPages(inode, range), margin: Self.marginBlocks, for: user)
    beginChanges()
    try dropPrivileges(inode, slot)
    modify(inode.page)
    try makeMapped(inode)
    if offset > inode.size { try clearTail(inode, isUrgent: false) }
    if canBorrow(requests[slot], end) {
      try borrowPayload(slot, inode, range)
    } else {
      for index in range { try writePage(inode, index, offset, end, payload) }
    }
    inode.size = max(inode.size, end)
    inode.modificationTime = now.realtime
    inode.changeTime = now.realtime
    let state = obtainState(inode)
    states.slots[state].hasUnloggedWrites = true
    listUncommitted(state)
    if dirtyPages > min(dirtyPageLimit / 2, Self.pagesBeforeCommit) { startCommit(isDurable: false) }
  }

  /// Loads blocks that are written only in part, and the last block when the file grows past it.
  private func preparePartialPages(_ inode: Inode, _ offset: UInt64, _ end: UInt64) throws(Stop) {
    guard inode.layout != .inline else { return }
    if offset > inode.size { try prepareTail(inode) }
    if offset & 4095 != 0, offset >> 12 < Self.blocks(inode.size) { _ = try dataPage(inode, offset >> 12) }
    if end & 4095 != 0, end < inode.size { _ = try dataPage(inode, end >> 12) }
  }

  /// Blocks that a write takes anew: holes without a charged page, and nodes of the map.
  private func spaceForPages(_ inode: Inode, _ range: Range<UInt64>) throws(Stop) -> UInt64 {
    guard inode.layout != .inline else { return UInt64(range.count) + UInt64(Self.nodesPerWrite) }
    var blocks: UInt64 = 0
    var missing = false
    for index in range {
      if let slot = try mapSlot(inode, index) {
        guard slot.entry.isHole else { continue }
      } else {
        missing = true
      }
      let frame = dataFrame(inode.number, index)
      if frame == .none || !cache.frames[Int(frame)].isCharged { blocks += 1 }
    }
    return missing ? blocks + 5 : blocks
  }

  private func writePage(
    _ inode: Inode, _ index: UInt64, _ offset: UInt64, _ end: UInt64, _ payload: UnsafeRawBufferPointer
  ) throws(Stop) {
    let start = index << 12
    let from = max(offset, start)
    let to = min(end, start + 4096)
    let isWhole = from == start && (to == start + 4096 || to >= inode.size)
    let known = dataFrame(inode.number, index)
    let isKnown = known != .none && cache.frames[Int(known)].state == .ready
    let frame = try makeDataPage(inode, index)
    let page = cache.page(frame)
    if !isKnown, to - from < 4096 { page.clear() }
    if isKnown, isWhole, to < start + 4096 { page.clear(at: Int(to - start)) }
    // A block that reaches behind the file's end may hold what a longer file left there.
    let size = inode.size
    if isKnown, !isWhole, size > start, size < min(from, start + 4096) {
      page.clear(at: Int(size - start), count: Int(from - size))
    }
    page.copy(
      UnsafeRawBufferPointer(rebasing: payload[Int(from - offset)..<Int(to - offset)]), at: Int(from - start))
    work += Work.copy
    place(frame, of: inode, at: try makeMapSlot(inode, index))
  }

  // MARK: Privileges

  static let capabilityName: [UInt8] = Array("security.capability".utf8)

  /// The mode without suid, and without sgid where the group may execute or `gid` is another group.
  private func losesMode(_ inode: Inode, _ gid: UInt32) -> UInt32 {
    var mode = inode.mode
    mode &= ~UInt32(0o4000)
    if mode & 0o2010 == 0o2010 || gid != inode.gid { mode &= ~UInt32(0o2000) }
    return mode
  }

  /// Loads what `dropPrivileges` may change.
  func preparePrivileges(_ inode: Inode) throws(Stop) {
    guard inode.attributeLength > 0 || inode.attributeNode != 0 else { return }
    try withCapabilityName { name throws(Stop) in _ = try findAttribute(inode, name) != nil }
  }

  /// A write or fallocate takes a file's capabilities, and its suid and sgid when the request says that the caller may
  /// not keep them.
  private func dropPrivileges(_ inode: Inode, _ slot: Int) throws(Stop) {
    let mode = inode.mode
    try dropPrivileges(inode, withMode: requests[slot].killPrivileges, gid: requests[slot].gid)
    if inode.mode != mode { replies[slot].attributesChanged = true }
  }

  /// Writing, cutting or giving away a file takes its capabilities and, `withMode`, its suid and its sgid where the group
  /// may execute, or of another group than `gid` when that is given.
  func dropPrivileges(_ inode: Inode, withMode: Bool, gid: UInt32? = nil) throws(Stop) {
    let mode = losesMode(inode, gid ?? inode.gid)
    if withMode, mode != inode.mode {
      var set = attributes(of: inode)
      set.mode = mode
      set.changeTime = now.realtime
      try perform(.setAttributes(set))
      note(.setAttributes(set))
    }
    guard inode.attributeLength > 0 || inode.attributeNode != 0 else { return }
    try withCapabilityName { name throws(Stop) in
      guard try findAttribute(inode, name) != nil else { return }
      let record = LogRecord.attribute(
        node: inode.id.raw, removes: true, time: now.realtime, name: name,
        value: UnsafeRawBufferPointer(start: nil, count: 0))
      try perform(record)
      note(record)
    }
  }

  private func withCapabilityName(_ body: (UnsafeRawBufferPointer) throws(Stop) -> Void) throws(Stop) {
    let result: Result<Void, Stop> = Self.capabilityName.withUnsafeBytes { name in
      do throws(Stop) { return .success(try body(name)) } catch { return .failure(error) }
    }
    try result.get()
  }

  // MARK: fsync

  /// fsync(2) and fsyncdir: one log write with all records and this file's pages, then durability.
  func sync(_ slot: Int, _ node: UInt64) throws(Stop) {
    guard !hasFailed else { throw .fail(Code.io) }
    guard !isReadOnly else { return finish(slot) }
    if let awaited = slots[slot].awaitedSequence { return finishWhenDurable(slot, awaited) }
    try commitForCaller(NodeID(raw: node).number, isDurable: log.waiters.isEmpty)
    slots[slot].awaitedSequence = log.lastSequence
    finishWhenDurable(slot, log.lastSequence)
  }

  /// syncfs(2): a commit of everything that there is now, then durability.
  func syncAll(_ slot: Int) throws(Stop) {
    guard !hasFailed else { throw .fail(Code.io) }
    guard !isReadOnly else { return finish(slot) }
    if let awaited = slots[slot].awaitedSequence { return finishWhenDurable(slot, awaited) }
    guard !isStopping else {
      // No commit comes any more, but a checkpoint that holds everything does.
      guard !isChanged else { throw .again }
      return finish(slot)
    }
    let commit = slots[slot].awaitedCommit ?? commitOfNow()
    slots[slot].awaitedCommit = commit
    guard log.commitNumber > commit || (log.commitNumber == commit && !log.isCommitting) else { throw .again }
    slots[slot].awaitedSequence = log.lastSequence
    finishWhenDurable(slot, log.lastSequence)
  }

  /// The number of a commit that will have written all that there is now.
  private func commitOfNow() -> UInt64 {
    let isUnderWay = log.isCommitting
    startCommit(isDurable: true)
    return isUnderWay ? log.commitNumber + 1 : log.commitNumber
  }

  /// The last close of a file that was cut or rewritten: its data goes out now, not in seconds.
  func release(_ slot: Int) throws(Stop) {
    if let state = states.find(NodeID(raw: requests[slot].node).number), states.slots[state].commitsOnClose {
      states.slots[state].commitsOnClose = false
      if states.slots[state].isListed { startCommit(isDurable: true) }
      states.releaseIfUnused(state)
    }
    finish(slot)
  }

  // MARK: fallocate

  /// Lowest map nodes that one run of an fallocate changes.
  private static let nodesPerRun = 8

  /// fallocate(2): allocate, keep-size, punch, zero. Works through the range a map node at a time, each with a record of
  /// its own; the last one changes the size. One that fails half-way has so zeroed or allocated the front of its range and
  /// left the size as it was. Punching passes what is a hole already.
  func allocate(_ slot: Int) throws(Stop) {
    let request = requests[slot]
    let known =
      AllocateMode.keepSize.rawValue | AllocateMode.punchHole.rawValue | AllocateMode.zeroRange.rawValue
    let mode = AllocateMode(rawValue: request.flags)
    guard request.flags & ~known == 0 else { throw .fail(Code.notSupported) }
    guard !mode.contains(.punchHole) || mode.contains(.keepSize) else { throw .fail(Code.notSupported) }
    let (end, overflows) = request.offset.addingReportingOverflow(request.length)
    guard !overflows, request.length > 0 else { throw .fail(Code.invalid) }
    guard end <= Inode.maximumSize else { throw .fail(Code.fileTooBig) }
    for _ in 0..<Self.nodesPerRun where !isSpent {
      if mode.contains(.punchHole) { try passHole(slot, to: end) }
      let from = request.offset + slots[slot].progress
      guard from < end else { return finish(slot) }
      let to = min(end, ((from >> 20) + 1) << 20)
      let partMode = to < end ? mode.union(.keepSize) : mode
      try allocatePart(slot, partMode, from, to, end)
      slots[slot].progress = to - request.offset
      releasePins()
      guard cache.reserve(Self.framesPerOperation + Self.framesForJobs) else { break }
    }
    guard request.offset + slots[slot].progress < end else { return finish(slot) }
    throw goOn()
  }

  /// Goes on to the first block of a range that can be punched. Where there is nothing to punch, nothing is recorded.
  private func passHole(_ slot: Int, to end: UInt64) throws(Stop) {
    try beginChange()
    let inode = try inode(NodeID(raw: requests[slot].node))
    guard inode.isRegular else { throw .fail(Code.invalid) }
    try preparePrivileges(inode)
    try dropPrivileges(inode, slot)
    let from = requests[slot].offset + slots[slot].progress
    var next = from
    if inode.layout == .inline {
      if from >= UInt64(inode.inlineLength) { next = end }
    } else {
      var index = max(from >> 12, slots[slot].searched)
      next = try find(.taken, in: inode, from: &index, to: Self.blocks(end)) ? max(from, index << 12) : end
    }
    slots[slot].progress = next - requests[slot].offset
  }

  /// Does what an fallocate up to `end` does between `from` and `to`.
  private func allocatePart(
    _ slot: Int, _ mode: AllocateMode, _ from: UInt64, _ to: UInt64, _ end: UInt64
  ) throws(Stop) {
    let id = NodeID(raw: requests[slot].node)
    try beginChange(pages: 2, givesSpace: mode.contains(.punchHole))
    let inode = try inode(id)
    guard inode.isRegular else { throw .fail(Code.invalid) }
    let record = LogRecord.allocate(
      node: id.raw, mode: mode.rawValue, offset: from, length: to - from, time: now.realtime)
    let clears = mode.contains(.punchHole) || mode.contains(.zeroRange)
    if !mode.contains(.keepSize), to > inode.size { try commitBeforeResize(inode, to: to) }
    try preparePrivileges(inode)
    try prepare(record)
    if clears { try prepareEdges(inode, from, to) }
    if !mode.contains(.punchHole), !staysInline(inode, end: to) {
      let part = try spaceForPages(inode, Self.touched(from, to - from))
      let blocks = max(part, Self.leastSpace(inode, from, end))
      try checkSpace(blocks, margin: Self.marginBlocks, for: requests[slot].uid)
    }
    beginChanges()
    try dropPrivileges(inode, slot)
    if clears, inode.layout != .inline { try clearEdges(inode, from, to) }
    try perform(record)
    note(record)
  }

  /// Blocks of a range that a file lacks at least, had it all its blocks there: what cannot be met fails before anything
  /// has changed.
  private static func leastSpace(_ inode: Inode, _ from: UInt64, _ end: UInt64) -> UInt64 {
    let wanted = UInt64(touched(from, end - from).count)
    return wanted - min(wanted, inode.blocks)
  }

  /// The blocks at the ends of a range that it covers only in part.
  private static func edges(_ from: UInt64, _ to: UInt64) -> [(index: UInt64, start: Int, end: Int)] {
    var edges: [(index: UInt64, start: Int, end: Int)] = []
    if from & 4095 != 0 {
      edges.append((from >> 12, Int(from & 4095), from >> 12 == to >> 12 ? Int(to & 4095) : 4096))
    }
    if to & 4095 != 0, from >> 12 != to >> 12 || from & 4095 == 0 {
      edges.append((to >> 12, 0, Int(to & 4095)))
    }
    return edges
  }

  private func prepareEdges(_ inode: Inode, _ from: UInt64, _ to: UInt64) throws(Stop) {
    guard inode.layout != .inline else { return }
    for edge in Self.edges(from, to) where edge.index < Self.blocks(inode.size) {
      _ = try dataPage(inode, edge.index)
    }
  }

  private func clearEdges(_ inode: Inode, _ from: UInt64, _ to: UInt64) throws(Stop) {
    for edge in Self.edges(from, to) where edge.index < Self.blocks(inode.size) {
      guard try dataPage(inode, edge.index) != nil else { continue }
      let frame = try makeDataPage(inode, edge.index)
      cache.page(frame).clear(at: edge.start, count: edge.end - edge.start)
      place(frame, of: inode, at: try makeMapSlot(inode, edge.index))
      let state = obtainState(inode)
      states.slots[state].hasUnloggedWrites = true
    }
  }
}
