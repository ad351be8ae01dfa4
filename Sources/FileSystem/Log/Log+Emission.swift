import Format
import Glibc

/// Forming log writes from records and dirty pages.
extension Log {
  /// Bytes of waiting records at which a log write is made at once.
  static let eagerRecordBytes = 16 << 10

  /// Frames for the headers and record blocks of a log write: for `eagerRecordBytes` of records and one more
  /// record with the longest attribute value.
  private static let framesPerLogWrite =
    12 + (eagerRecordBytes + AttributeEntries.maximumValue) / Page.size

  /// Whether so many records or urgent pages wait that a log write must be made before the next change.
  var mustEmit: Bool {
    uncommitted.records.bytes.count >= Self.eagerRecordBytes || uncommitted.urgentPages.count >= 8
  }

  /// Makes one log write of all records and of dirty pages of the inodes in `chosen` (places in
  /// `InodeStates`): the pages that became dirty first; of a file that grows, the pages with the lowest
  /// indices. With `sharing` it takes of each inode no more pages than are left of its share in the commit
  /// under way.
  ///
  /// Pages that do not fit stay dirty. With `isDurable` the log write is made with FUA, if it is small, takes
  /// all pages and nothing else is unflushed.
  func emit(_ chosen: [Int], isDurable: Bool = false, sharing: Bool = false) throws(Stop) {
    guard !isBroken else { throw .again(.checkpoint) }
    let isAll = try gather(chosen, sharing: sharing)
    for state in chosen { try recordTimes(state) }
    guard !gathered.isEmpty || uncommitted.hasRecords else { return }
    try formLogWrite(mayForceUnitAccess: isDurable && isAll)
  }

  /// Pages gathered for one log write, at most: no log write takes more.
  private static let pagesAtATime = 256

  /// Gathers pages: urgent ones first, then the others by inode and index. It makes sure that their inodes
  /// and map entries are in memory.
  /// - Returns: whether these are all the dirty pages of the inodes, or of their shares.
  private func gather(_ chosen: [Int], sharing: Bool) throws(Stop) -> Bool {
    gathered.removeAll(keepingCapacity: true)
    // A page that was dropped has nothing left to write.
    uncommitted.removeUrgent { !pages.isDirty($0.inode, $0.index) }
    for name in uncommitted.urgentPages {
      let frame = pages.dataFrame(name.inode, name.index)
      if !gathered.contains(frame) { gathered.append(frame) }
    }
    let urgent = gathered.count
    var isAll = true
    for state in chosen {
      if isGrowing(state) {
        if !gatherInPlace(state, urgent: urgent) { isAll = false }
        continue
      }
      var frame = states[state].pages.dirty.first
      var left = sharing ? states[state].log.commitShare : Int.max
      while frame != .none, left > 0, gathered.count < Self.pagesAtATime {
        if urgent == 0 || !gathered[..<urgent].contains(frame) { gathered.append(frame) }
        frame = cache[frame].next
        left -= 1
      }
      if frame != .none { isAll = false }
    }
    sortGathered(from: urgent)
    guard let isLocated = try keepLocated(urgent: urgent) else {
      // Gather again without the pages that were lost.
      return try gather(chosen, sharing: sharing)
    }
    return isLocated && isAll
  }

  /// Whether the log has a smaller size of a file than its inode.
  private func isGrowing(_ state: Int) -> Bool {
    guard let inode = nodes.inodeInMemory(states[state].number) else { return true }
    return inode.size > states[state].log.loggedSize
  }

  /// Gathers pages of a file that grows by index, whichever became dirty first: the size that is recorded
  /// with them must not cover a page that the log does not have.
  /// - Returns: whether these are all dirty pages of the file.
  private func gatherInPlace(_ state: Int, urgent: Int) -> Bool {
    let first = gathered.count
    var frame = states[state].pages.dirty.first
    while frame != .none {
      if urgent == 0 || !gathered[..<urgent].contains(frame) { gathered.append(frame) }
      frame = cache[frame].next
    }
    let end = max(Self.pagesAtATime, first)
    guard gathered.count > end else { return true }
    sortGathered(from: first)
    gathered.removeSubrange(end...)
    return false
  }

  /// Keeps those of the gathered pages whose inode and map entry are in memory, and begins to read what the
  /// others need. Only pages that a failed log write made dirty again can lack them.
  /// - Returns: whether all are kept; nil when writes were lost, because an inode or map node is damaged.
  private func keepLocated(urgent: Int) throws(Stop) -> Bool? {
    var kept = 0
    var missing = 0
    var lacksUrgent = false
    // The file of the last page not kept: its later pages are not kept either.
    var stuck: NodeKey?
    for position in gathered.indices where missing < Waiting.readsAhead {
      let frame = gathered[position]
      let isBehind = cache[frame].key == stuck
      do throws(Stop) {
        _ = try location(of: frame)
        if isBehind { continue }
        gathered[kept] = frame
        kept += 1
      } catch .again {
        missing += 1
        stuck = cache[frame].key
        if position < urgent { lacksUrgent = true }
      } catch .fail {
        pages.loseWrites(cache[frame].key.number)
        return nil
      }
    }
    guard missing > 0 else { return true }
    // Urgent pages must all go together.
    guard kept > 0, !lacksUrgent else { throw .again(.read) }
    gathered.removeSubrange(kept...)
    return false
  }

  /// The inode of a dirty page, and where its map entry lies.
  private func location(of frame: FrameIndex) throws(Stop) -> (inode: Inode, slot: MapSlot) {
    let info = cache[frame]
    let inode = try nodes.inode(info.key.number)
    if info.leaf.kind == .internalNode {
      let page = try nodes.node(info.leaf.number, as: .map)
      return (inode, MapSlot(page: page, offset: Int(info.index & 255) * Entry.size))
    }
    guard let slot = try map.mapSlot(inode, info.index) else { throw .fail(EIO) }
    return (inode, slot)
  }

  /// Sorts gathered pages by inode and index.
  private func sortGathered(from first: Int) {
    let cache = cache
    func precedes(_ left: FrameIndex, _ right: FrameIndex) -> Bool {
      let (a, b) = (cache[left].key.raw, cache[right].key.raw)
      return a != b ? a < b : cache[left].index < cache[right].index
    }
    let isSorted = gathered.withUnsafeBufferPointer { pages in
      (first..<max(first, pages.count - 1)).allSatisfy { precedes(pages[$0], pages[$0 + 1]) }
    }
    event.count(gathered.count * Work.frame)
    guard !isSorted else { return }
    event.count(gathered.count * Work.frame)
    gathered[first...].sort(by: precedes)
  }

  /// Records the size and times of an inode that was written to but has no dirty page left.
  private func recordTimes(_ state: Int) throws(Stop) {
    guard states[state].log.hasUnloggedWrites, states[state].pages.dirty.count == 0 else { return }
    let inode: Inode
    do throws(Stop) { inode = try nodes.inode(states[state].number) } catch .fail {
      return pages.loseWrites(states[state].number)
    }
    let size = min(inode.size, Inode.maximumSize)
    uncommitted.logged(state, size: size)
    guard inode.layout != .inline else { return }
    uncommitted.append(
      .written(
        node: inode.id.raw, size: size, modified: inode.modificationTime, changed: inode.changeTime))
  }

  /// How many of the gathered pages go into a log write, and how the records are stored in it.
  private struct Selection {
    var end: Int
    var recordBlocks: Int
    /// All records lie in the header.
    var isInline: Bool
  }

  /// Chooses gathered pages for a log write of at most `room` blocks after its header; nil when not even the
  /// records and urgent pages fit.
  private func select(room: Int) -> Selection? {
    var bytes = uncommitted.records.bytes.count
    var headerRoom = LogHeader.room
    var last = OwnerRun(kind: .records, number: 0, count: 0)
    var best: Selection?
    var end = 0
    let limit = min(room, LogWrite.maximumBlocks - 2)
    while true {
      let isInline = bytes <= headerRoom
      let recordBlocks = isInline ? 0 : (bytes + Page.size - 1) / Page.size
      guard end + recordBlocks <= limit, headerRoom >= 4 * recordBlocks else { break }
      best = Selection(end: end, recordBlocks: recordBlocks, isInline: isInline)
      guard end < gathered.count else { break }
      let info = cache[gathered[end]]
      let run = OwnerRun(kind: .data, number: info.key.number, index: info.index)
      if end > 0, last.continues(with: run) {
        headerRoom -= 4
        last.count += 1
      } else {
        // A new run, and for a new inode a record of its size.
        headerRoom -= OwnerRun.size + 4
        if last.number != run.number { bytes += 40 }
        last = run
      }
      guard headerRoom >= 0 else { break }
      end += 1
    }
    guard let best, best.end > 0 || gathered.isEmpty else { return nil }
    return best.end < min(uncommitted.urgentPages.count, gathered.count) ? nil : best
  }

  /// Forms and submits one log write with all records and as many gathered pages as fit.
  private func formLogWrite(mayForceUnitAccess: Bool) throws(Stop) {
    guard cache.reserve(Self.framesPerLogWrite) else { throw .again(.memory) }
    let selection = try makeRoom()
    guard let segment = position.segment else { throw .again(.checkpoint) }
    // Find all places before anything has changed.
    places.removeAll(keepingCapacity: true)
    for page in gathered[..<selection.end] { places.append(try location(of: page)) }
    waiting.beginChanges()
    let header = cache.takeBuffer()
    guard header != .none else { throw .again(.memory) }
    let index = beginLogWrite(header, in: segment)
    recordSizes(0..<selection.end)
    var writer = LogHeaderWriter(cache.page(header))
    if !selection.isInline { appendRecordBlocks(&writer, index) }
    for position in 0..<selection.end { appendPage(gathered[position], places[position], &writer, index) }
    let isLast = selection.end == gathered.count
    if mayForceUnitAccess, isLast, writes[index].count <= Self.blocksForcedAtMost, self.mayForceUnitAccess {
      writes.forceUnitAccess(index)
    }
    uncommitted.records.bytes.withUnsafeBytes {
      seal(&writer, index, records: $0, isInline: selection.isInline, flags: 0)
    }
    uncommitted.removeRecords()
    submit(index)
  }

  /// The largest log write that is written with FUA, in blocks: for a larger one a write and a flush are
  /// faster.
  private static let blocksForcedAtMost = 64

  /// Begins a log write at the head of the chain, with a frame for its header.
  private func beginLogWrite(_ header: FrameIndex, in segment: UInt32) -> Int {
    let index = writes.take(.foreground)
    writes.place(index, segment: segment, at: volume.geometry.segmentBlock(segment) + UInt64(position.offset))
    writes.append(header, to: index)
    return index
  }

  /// Finds room for the next log write, going to the next segment when too little of this one is left.
  private func makeRoom() throws(Stop) -> Selection {
    if position.segment == nil { throw .again(.checkpoint) }
    while true {
      let left = Int(volume.geometry.segmentBlocks) - Int(position.offset)
      let isFirst = left == Int(volume.geometry.segmentBlocks)
      // The first log write of a segment leaves a block, for a second header: when one of the two is damaged,
      // the other leads to the next segment.
      if left >= 1, let selection = select(room: left - (isFirst ? 2 : 1)) { return selection }
      if left >= 1, !isFirst {
        guard segments.freeCount > 0 else { throw outOfSegments() }
        try leaveSegment()
      } else if left >= 1 {
        throw .fail(EIO)
      }
      guard enterNextSegment() else { throw outOfSegments() }
    }
  }

  /// No segment is free. Requests leave enough free segments for all that they change, so this happens only
  /// after damage.
  private func outOfSegments() -> Stop {
    if !condition.isReady { errors.failForWantOfSegments("no free segment for the log") }
    waiting.askForCheckpoint()
    waiting.askForSegments()
    return .again(.segments)
  }

  /// Writes a log write without contents, whose flag says that the chain continues in the next segment.
  private func leaveSegment() throws(Stop) {
    guard let segment = position.segment else { return }
    let header = cache.takeBuffer()
    guard header != .none else { throw .again(.memory) }
    let index = beginLogWrite(header, in: segment)
    var writer = LogHeaderWriter(cache.page(header))
    seal(
      &writer, index, records: UnsafeRawBufferPointer(start: nil, count: 0), isInline: true,
      flags: LogHeader.leavesSegment)
    submit(index)
  }

  /// Records the sizes that files have once these pages are written.
  private func recordSizes(_ range: Range<Int>) {
    // Pages are sorted by inode, except for the urgent ones, which come first and in any order.
    let urgent = range.lowerBound..<min(range.lowerBound + uncommitted.urgentPages.count, range.upperBound)
    var at = range.lowerBound
    while at < range.upperBound {
      let number = gatheredInode(at)
      var end = at + 1
      while end < range.upperBound, gatheredInode(end) == number { end += 1 }
      var pages = end - at
      var last = cache[gathered[end - 1]].index
      if urgent.contains(at) {
        for position in at..<range.upperBound where gatheredInode(position) == number {
          pages += position < end ? 0 : 1
          last = max(last, cache[gathered[position]].index)
        }
      }
      if !urgent.contains(where: { $0 < at && gatheredInode($0) == number }) {
        recordSize(number, lastIndex: last, pages: pages)
      }
      at = end
    }
  }

  private func gatheredInode(_ position: Int) -> UInt64 {
    cache[gathered[position]].key.number
  }

  private func recordSize(_ number: UInt64, lastIndex: UInt64, pages: Int) {
    guard let state = states.find(number), let inode = nodes.inodeInMemory(number) else { return }
    let isAll = states[state].pages.dirty.count == pages
    let size = min(inode.size, isAll ? Inode.maximumSize : (lastIndex + 1) << 12)
    uncommitted.logged(state, growingTo: size, isAll: isAll)
    uncommitted.append(
      .written(
        node: inode.id.raw, size: states[state].log.loggedSize, modified: inode.modificationTime,
        changed: inode.changeTime))
  }

  private func appendRecordBlocks(_ writer: inout LogHeaderWriter, _ index: Int) {
    uncommitted.records.bytes.withUnsafeBytes { bytes in
      var offset = 0
      while offset < bytes.count {
        let frame = cache.takeBuffer()
        let page = cache.page(frame)
        page.clear()
        let end = min(offset + Page.size, bytes.count)
        page.copy(UnsafeRawBufferPointer(rebasing: bytes[offset..<end]), at: 0)
        writes.append(frame, to: index)
        writer.addRecordBlock(checksum: volume.checksum.of(page))
        offset = end
      }
    }
  }

  /// Adds a dirty page to a log write, and enters its new address in the map.
  private func appendPage(
    _ frame: FrameIndex, _ place: (inode: Inode, slot: MapSlot), _ writer: inout LogHeaderWriter, _ index: Int
  ) {
    let info = cache[frame]
    event.count(Work.checksum + Work.page)
    let sum = volume.checksum.of(cache.page(frame))
    let address = (writes[index].address ?? 0) + UInt64(writes[index].count)
    writes.append(page: frame, to: index)
    writer.add(
      OwnerRun(kind: .data, number: info.key.number, generation: place.inode.generation, index: info.index),
      checksum: sum)
    map.setMapEntry(place.slot, to: address, checksum: sum)
    pages.beginWriting(frame)
  }
}
