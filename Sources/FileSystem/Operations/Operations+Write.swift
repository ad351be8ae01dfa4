import FileProtocol
import Format
import Glibc

/// Writing: write, fsync, syncfs, release, fallocate, and the privileges that a write takes away.
extension Operations {
  /// Dirty pages at which a commit begins: enough for log writes of full size, few enough to be sorted
  /// quickly.
  private static let pagesBeforeCommit = 1024
  private static let synchronousFlags = UInt32(O_SYNC | O_DSYNC)

  /// write(2): into the inode while the file is small, otherwise into dirty pages that a later log write
  /// takes.
  func write(_ slot: Int) throws(Stop) {
    let request = requests[slot]
    if !waiting.cursor.isApplied {
      try applyWrite(slot, request)
      waiting.cursor.isApplied = true
      if event.isSpent, request.flags & Self.synchronousFlags != 0 { throw .again(.share) }
    }
    replies[slot].count = request.length
    if request.flags & Self.synchronousFlags != 0 { return try sync(slot, request.node) }
    finish(slot)
  }

  private func applyWrite(_ slot: Int, _ request: Request) throws(Stop) {
    try beginChange(pages: Int(clamping: request.length >> 12) + 2)
    let inode = try nodes.inode(NodeID(raw: request.node))
    guard inode.isRegular else { throw .fail(EINVAL) }
    let (end, overflows) = request.offset.addingReportingOverflow(request.length)
    guard !overflows, end <= Inode.maximumSize else { throw .fail(EFBIG) }
    guard request.length > 0 else { return }
    guard request.payloadOffset + Int(clamping: request.length) <= Int(request.frameCount) * Page.size else {
      throw .fail(EINVAL)
    }
    try preparePrivileges(inode)
    usedKernelCache(request)
    let isLonger = end > inode.size
    let payload = UnsafeRawBufferPointer(
      start: cache.memory.base + Int(request.firstFrame) * Page.size + request.payloadOffset,
      count: Int(request.length))
    if contents.staysInline(inode, end: end) {
      try dropPrivileges(inode, slot)
      let record = LogRecord.writeInline(
        node: request.node, offset: UInt32(request.offset),
        time: timeOfChange(request, inode), data: payload)
      try changes.perform(record)
      uncommitted.append(record)
    } else {
      try writePages(slot, inode, request.offset, end, payload)
    }
    pages.makeUpForLost(inode.number, request.offset..<end)
    if request.isDirect { wroteDirectly(slot, inode, request.offset..<end, isLonger: isLonger) }
  }

  /// The time that a change of a file's data leaves there.
  private func timeOfChange(_ request: Request, _ inode: Inode) -> Int64 {
    request.keepsTimes ? inode.changeTime : event.now.realtime
  }

  /// Copies a payload into dirty pages of a file with a map.
  private func writePages(
    _ slot: Int, _ inode: Inode, _ offset: UInt64, _ end: UInt64, _ payload: UnsafeRawBufferPointer
  ) throws(Stop) {
    let range = offset >> 12..<FileMap.blocks(end)
    guard pages.dirtyCount + range.count <= space.dirtyPageLimit || pages.dirtyCount == 0 else {
      log.startCommit(isDurable: false)
      throw .again(.commit)
    }
    try nodes.prepareNodes(FileMap.nodesPerWrite)
    try map.prepareMap(inode, range)
    try preparePartialPages(inode, offset, end)
    // No program waits for the reply to a write-back, so it may use root's reserve before it is refused.
    let user = requests[slot].isWriteback ? Space.root : requests[slot].uid
    try space.checkSpace(try spaceForPages(inode, range), margin: Space.marginBlocks, for: user)
    waiting.beginChanges()
    try dropPrivileges(inode, slot)
    nodes.modify(inode.page)
    try contents.makeMapped(inode)
    if offset > inode.size { try contents.clearTail(inode, isUrgent: false) }
    if pages.canBorrow(requests[slot], end, least: options.borrowedBlocks) {
      let first =
        requests[slot].firstFrame + FrameIndex(truncatingIfNeeded: requests[slot].payloadOffset >> 12)
      try pages.borrow(first, from: slot, inode, range)
    } else {
      for index in range { try writePage(inode, index, offset, end, payload) }
    }
    inode.size = max(inode.size, end)
    if !requests[slot].keepsTimes {
      inode.modificationTime = event.now.realtime
      inode.changeTime = event.now.realtime
    }
    uncommitted.wrote(states.obtain(inode))
    if pages.dirtyCount > min(space.dirtyPageLimit / 2, Self.pagesBeforeCommit) {
      log.startCommit(isDurable: false)
    }
  }

  /// Loads blocks that are written only in part, and the last block when the file grows past it.
  private func preparePartialPages(_ inode: Inode, _ offset: UInt64, _ end: UInt64) throws(Stop) {
    guard inode.layout != .inline else { return }
    if offset > inode.size { try contents.prepareTail(inode) }
    if offset & 4095 != 0, offset >> 12 < FileMap.blocks(inode.size) {
      _ = try pages.dataPage(inode, offset >> 12)
    }
    if end & 4095 != 0, end < inode.size { _ = try pages.dataPage(inode, end >> 12) }
  }

  /// New blocks that a write takes: for holes without a charged page, and for map nodes.
  private func spaceForPages(_ inode: Inode, _ range: Range<UInt64>) throws(Stop) -> UInt64 {
    guard inode.layout != .inline else { return UInt64(range.count) + UInt64(FileMap.nodesPerWrite) }
    var blocks: UInt64 = 0
    var missing = false
    for index in range {
      if let slot = try map.mapSlot(inode, index) {
        guard slot.entry.isHole else { continue }
      } else {
        missing = true
      }
      if !pages.isCharged(inode.number, index) { blocks += 1 }
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
    let isKnown = pages.hasPage(inode.number, index)
    let frame = try pages.makeDataPage(inode, index)
    let page = cache.page(frame)
    if !isKnown, to - from < 4096 { page.clear() }
    if isKnown, isWhole, to < start + 4096 { page.clear(at: Int(to - start)) }
    // Bytes past the file's end in its last block may be left from when the file was longer.
    let size = inode.size
    if isKnown, !isWhole, size > start, size < min(from, start + 4096) {
      page.clear(at: Int(size - start), count: Int(from - size))
    }
    page.copy(
      UnsafeRawBufferPointer(rebasing: payload[Int(from - offset)..<Int(to - offset)]), at: Int(from - start))
    event.count(Work.copy)
    pages.place(frame, of: inode, at: try map.makeMapSlot(inode, index))
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
    try withCapabilityName { name throws(Stop) in _ = try attributes.findAttribute(inode, name) != nil }
  }

  /// A write or fallocate removes a file's capabilities, and its suid and sgid bits when the request says
  /// that the caller may not keep them.
  private func dropPrivileges(_ inode: Inode, _ slot: Int) throws(Stop) {
    guard !requests[slot].keepsTimes || !requests[slot].isWriteback else { return }
    let mode = inode.mode
    try dropPrivileges(inode, withMode: requests[slot].killPrivileges, gid: requests[slot].gid)
    if inode.mode != mode { replies[slot].attributesChanged = true }
  }

  /// Writing, truncating or changing the owner of a file removes its capabilities. With `withMode` it also
  /// removes suid, and sgid where the group may execute or where `gid` is given and is not the file's group.
  func dropPrivileges(_ inode: Inode, withMode: Bool, gid: UInt32? = nil) throws(Stop) {
    let mode = losesMode(inode, gid ?? inode.gid)
    if withMode, mode != inode.mode {
      var set = currentAttributes(of: inode)
      set.mode = mode
      set.changeTime = event.now.realtime
      try changes.perform(.setAttributes(set))
      uncommitted.append(.setAttributes(set))
    }
    guard inode.attributeLength > 0 || inode.attributeNode != 0 else { return }
    try withCapabilityName { name throws(Stop) in
      guard try attributes.findAttribute(inode, name) != nil else { return }
      let record = LogRecord.attribute(
        node: inode.id.raw, removes: true, time: event.now.realtime, name: name,
        value: UnsafeRawBufferPointer(start: nil, count: 0))
      try changes.perform(record)
      uncommitted.append(record)
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
    guard !condition.hasFailed else { throw .fail(EIO) }
    guard !condition.isReadOnly else { return finish(slot) }
    if let awaited = waiting.cursor.awaitedSequence { return log.finishWhenDurable(slot, awaited) }
    try log.commitPages(NodeID(raw: node).number, isDurable: !log.hasDurableWaiters)
    waiting.cursor.awaitedSequence = log.lastSequence
    log.finishWhenDurable(slot, log.lastSequence)
  }

  /// syncfs(2): a commit of everything that is dirty now, then durability.
  func syncAll(_ slot: Int) throws(Stop) {
    guard !condition.hasFailed else { throw .fail(EIO) }
    guard !condition.isReadOnly else { return finish(slot) }
    if let awaited = waiting.cursor.awaitedSequence { return log.finishWhenDurable(slot, awaited) }
    guard !condition.isStopping else {
      // While stopping there are no commits: the last checkpoint makes everything durable.
      guard !space.isChanged else { throw .again(.checkpoint) }
      return finish(slot)
    }
    let commit = waiting.cursor.awaitedCommit ?? log.commitOfNow()
    waiting.cursor.awaitedCommit = commit
    guard log.hasEnded(commit: commit) else { throw .again(.commit) }
    waiting.cursor.awaitedSequence = log.lastSequence
    log.finishWhenDurable(slot, log.lastSequence)
  }

  /// The last close of a file that was truncated to nothing: its data is committed now, not after the commit
  /// interval.
  func release(_ slot: Int) throws(Stop) {
    if let state = states.find(NodeID(raw: requests[slot].node).number), states[state].log.commitsOnClose {
      if uncommitted.takeCommitOnClose(state) { log.startCommit(isDurable: true) }
      states.releaseIfUnused(state)
    }
    finish(slot)
  }

  // MARK: fallocate

  /// Lowest map nodes that one run of an fallocate changes, at most.
  private static let nodesPerRun = 8

  /// fallocate(2): allocate, keep-size, punch, zero. It works through the range a lowest map node at a time,
  /// each with a record of its own; only the last one changes the size. So one that fails half-way has zeroed
  /// or allocated the front of its range and left the size unchanged. Punching skips holes.
  func allocate(_ slot: Int) throws(Stop) {
    let request = requests[slot]
    let known =
      AllocateMode.keepSize.rawValue | AllocateMode.punchHole.rawValue | AllocateMode.zeroRange.rawValue
    let mode = AllocateMode(rawValue: request.flags)
    guard request.flags & ~known == 0 else { throw .fail(EOPNOTSUPP) }
    guard !mode.contains(.punchHole) || mode.contains(.keepSize) else { throw .fail(EOPNOTSUPP) }
    let (end, overflows) = request.offset.addingReportingOverflow(request.length)
    guard !overflows, request.length > 0 else { throw .fail(EINVAL) }
    guard end <= Inode.maximumSize else { throw .fail(EFBIG) }
    for _ in 0..<Self.nodesPerRun where !event.isSpent {
      if mode.contains(.punchHole) { try passHole(slot, to: end) }
      let from = request.offset + waiting.cursor.progress
      guard from < end else { return finish(slot) }
      let to = min(end, ((from >> 20) + 1) << 20)
      let partMode = to < end ? mode.union(.keepSize) : mode
      try allocatePart(slot, partMode, from, to, end)
      waiting.cursor.progress = to - request.offset
      waiting.releasePins()
      guard cache.reserve(Waiting.framesPerOperation + Waiting.framesForJobs) else { break }
    }
    guard request.offset + waiting.cursor.progress < end else { return finish(slot) }
    throw .again(.share)
  }

  /// Punching: skips to the first block of the range that is not a hole already, without a record.
  private func passHole(_ slot: Int, to end: UInt64) throws(Stop) {
    try beginChange()
    let inode = try nodes.inode(NodeID(raw: requests[slot].node))
    guard inode.isRegular else { throw .fail(EINVAL) }
    try preparePrivileges(inode)
    try dropPrivileges(inode, slot)
    let from = requests[slot].offset + waiting.cursor.progress
    var next = from
    if inode.layout == .inline {
      if from >= UInt64(inode.inlineLength) { next = end }
    } else {
      var index = max(from >> 12, waiting.cursor.searched)
      next =
        try contents.find(.taken, in: inode, from: &index, to: FileMap.blocks(end))
        ? max(from, index << 12) : end
    }
    waiting.cursor.progress = next - requests[slot].offset
  }

  /// Does the part between `from` and `to` of an fallocate up to `end`.
  private func allocatePart(
    _ slot: Int, _ mode: AllocateMode, _ from: UInt64, _ to: UInt64, _ end: UInt64
  ) throws(Stop) {
    let id = NodeID(raw: requests[slot].node)
    try beginChange(pages: 2, givesSpace: mode.contains(.punchHole))
    let inode = try nodes.inode(id)
    guard inode.isRegular else { throw .fail(EINVAL) }
    let record = LogRecord.allocate(
      node: id.raw, mode: mode.rawValue, offset: from, length: to - from,
      time: timeOfChange(requests[slot], inode))
    let clears = mode.contains(.punchHole) || mode.contains(.zeroRange)
    if !mode.contains(.keepSize), to > inode.size { try log.commitBeforeResize(inode, to: to) }
    try preparePrivileges(inode)
    try changes.prepare(record)
    if clears { try prepareEdges(inode, from, to) }
    if !mode.contains(.punchHole), !contents.staysInline(inode, end: to) {
      let part = try spaceForPages(inode, FileContents.touched(from, to - from))
      let blocks = max(part, Self.leastSpace(inode, from, end))
      try space.checkSpace(blocks, margin: Space.marginBlocks, for: requests[slot].uid)
    }
    waiting.beginChanges()
    try dropPrivileges(inode, slot)
    if clears, inode.layout != .inline { try clearEdges(inode, from, to) }
    try changes.perform(record)
    uncommitted.append(record)
  }

  /// The least number of new blocks that a range needs: as many as if all the file's blocks lay in it.
  /// Checking this first makes a hopeless fallocate fail before it has changed anything.
  private static func leastSpace(_ inode: Inode, _ from: UInt64, _ end: UInt64) -> UInt64 {
    let wanted = UInt64(FileContents.touched(from, end - from).count)
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
    for edge in Self.edges(from, to) where edge.index < FileMap.blocks(inode.size) {
      _ = try pages.dataPage(inode, edge.index)
    }
  }

  private func clearEdges(_ inode: Inode, _ from: UInt64, _ to: UInt64) throws(Stop) {
    for edge in Self.edges(from, to) where edge.index < FileMap.blocks(inode.size) {
      guard try pages.dataPage(inode, edge.index) != nil else { continue }
      let frame = try pages.makeDataPage(inode, edge.index)
      cache.page(frame).clear(at: edge.start, count: edge.end - edge.start)
      pages.place(frame, of: inode, at: try map.makeMapSlot(inode, edge.index))
      uncommitted.wroteListed(states.obtain(inode))
    }
  }
}
