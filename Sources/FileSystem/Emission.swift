import Format

/// Forming log writes out of records and dirty pages.
extension FileSystem {
  /// Record bytes that are never left waiting: then a log write is made at once.
  static let eagerRecordBytes = 16 << 10

  /// Frames that headers and record blocks of a log write take: those of records that wait, and of one more with the longest
  /// value of an attribute.
  private static let framesPerLogWrite =
    12 + (eagerRecordBytes + AttributeEntries.maximumValue) / Page.size

  /// Records a change that was made; it reaches the log with the next log write.
  func note(_ record: LogRecord) {
    log.records.append(record)
    if log.oldestChange == 0 { log.oldestChange = now.monotonic }
  }

  /// Whether so many records or urgent pages wait that a log write must be made before the next operation.
  var mustEmit: Bool { log.records.bytes.count >= Self.eagerRecordBytes || urgentPages.count >= 8 }

  /// Makes one log write of all records and of dirty pages of the inodes in `chosen` (slots of `states`): those that
  /// became dirty first, with `sharing` of each no more than its share in the commit under way; of a file that grows, those
  /// that come first in it.
  ///
  /// What does not fit stays dirty. With `isDurable` a small log write of all there is is made durable by itself, when nothing
  /// else is unflushed.
  func emit(_ chosen: [Int], isDurable: Bool = false, sharing: Bool = false) throws(Stop) {
    guard !log.isBroken else { throw .again }
    let isAll = try gather(chosen, sharing: sharing)
    for state in chosen { try noteWritten(state) }
    guard !log.gathered.isEmpty || log.hasRecords else { return }
    try formLogWrite(mayForceUnitAccess: isDurable && isAll)
  }

  /// Pages collected at a time: no log write takes more.
  private static let pagesAtATime = 256

  /// Collects pages in the order of inode and index: urgent ones first. Everything their maps need is in memory then.
  /// - Returns: whether these are all the pages that the inodes have to write.
  private func gather(_ chosen: [Int], sharing: Bool) throws(Stop) -> Bool {
    log.gathered.removeAll(keepingCapacity: true)
    // A page that could not be kept has nothing left to write.
    urgentPages.removeAll { name in
      let frame = dataFrame(name.inode, name.index)
      return frame == .none || !cache.frames[Int(frame)].isDirty
    }
    for name in urgentPages {
      let frame = dataFrame(name.inode, name.index)
      if !log.gathered.contains(frame) { log.gathered.append(frame) }
    }
    let urgent = log.gathered.count
    var isAll = true
    for state in chosen {
      if isGrowing(state) {
        if !gatherInPlace(state, urgent: urgent) { isAll = false }
        continue
      }
      var frame = states.slots[state].dirty.first
      var left = sharing ? states.slots[state].commitShare : Int.max
      while frame != .none, left > 0, log.gathered.count < Self.pagesAtATime {
        if urgent == 0 || !log.gathered[..<urgent].contains(frame) { log.gathered.append(frame) }
        frame = cache.frames[Int(frame)].next
        left -= 1
      }
      if frame != .none { isAll = false }
    }
    sortGathered(from: urgent)
    guard let isLocated = try keepLocated(urgent: urgent) else {
      // What was given up is gathered no more.
      return try gather(chosen, sharing: sharing)
    }
    return isLocated && isAll
  }

  /// Whether the size of a file, as far as the log knows it, is still to follow its pages.
  private func isGrowing(_ state: Int) -> Bool {
    let frame = cache.find(NodeKey(.inode, states.slots[state].number))
    guard frame != .none, cache.frames[Int(frame)].state == .ready else { return true }
    return Inode(cache.page(frame), number: states.slots[state].number).size > states.slots[state].loggedSize
  }

  /// Collects pages of a file that grows, in the order of their place, though others became dirty before: the size that is
  /// recorded with them must not cover a page that the log does not have.
  /// - Returns: whether these are all there are.
  private func gatherInPlace(_ state: Int, urgent: Int) -> Bool {
    let first = log.gathered.count
    var frame = states.slots[state].dirty.first
    while frame != .none {
      if urgent == 0 || !log.gathered[..<urgent].contains(frame) { log.gathered.append(frame) }
      frame = cache.frames[Int(frame)].next
    }
    let end = max(Self.pagesAtATime, first)
    guard log.gathered.count > end else { return true }
    sortGathered(from: first)
    log.gathered.removeSubrange(end...)
    return false
  }

  /// Of the gathered pages those stay whose map entry is in memory, which is so for all but those that a failed log write left. What
  /// the others need is read.
  /// - Returns: whether all stay; nil when some had to be given up, because what leads to their place is damaged.
  private func keepLocated(urgent: Int) throws(Stop) -> Bool? {
    var kept = 0
    var missing = 0
    var lacksUrgent = false
    // Pages of a file behind one that is missing stay behind with it.
    var stuck: NodeKey?
    for position in log.gathered.indices where missing < Self.readsAhead {
      let frame = log.gathered[position]
      let isBehind = cache.frames[Int(frame)].key == stuck
      do throws(Stop) {
        _ = try location(of: frame)
        if isBehind { continue }
        log.gathered[kept] = frame
        kept += 1
      } catch .again {
        missing += 1
        stuck = cache.frames[Int(frame)].key
        if position < urgent { lacksUrgent = true }
      } catch .fail {
        loseWrites(cache.frames[Int(frame)].key.number)
        return nil
      }
    }
    guard missing > 0 else { return true }
    // What must go together cannot go without one of its pages.
    guard kept > 0, !lacksUrgent else { throw .again }
    log.gathered.removeSubrange(kept...)
    return false
  }

  /// The inode of a dirty page, and where its map entry lies.
  private func location(of frame: FrameIndex) throws(Stop) -> (inode: Inode, slot: MapSlot) {
    let info = cache.frames[Int(frame)]
    let inode = try inode(info.key.number)
    if info.leaf.kind == .internalNode {
      let page = try node(info.leaf.number, as: .map)
      return (inode, MapSlot(page: page, offset: Int(info.index & 255) * Entry.size))
    }
    guard let slot = try mapSlot(inode, info.index) else { throw .fail(Code.io) }
    return (inode, slot)
  }

  /// Puts gathered pages into the order of inode and index.
  private func sortGathered(from first: Int) {
    let frames = cache.frames
    func precedes(_ left: FrameIndex, _ right: FrameIndex) -> Bool {
      let (a, b) = (frames[Int(left)].key.raw, frames[Int(right)].key.raw)
      return a != b ? a < b : frames[Int(left)].index < frames[Int(right)].index
    }
    let isSorted = log.gathered.withUnsafeBufferPointer { pages in
      (first..<max(first, pages.count - 1)).allSatisfy { precedes(pages[$0], pages[$0 + 1]) }
    }
    work += log.gathered.count * Work.frame
    guard !isSorted else { return }
    work += log.gathered.count * Work.frame
    log.gathered[first...].sort(by: precedes)
  }

  /// An inode whose times or size changed by writes, but that has no page left to write: the record comes alone.
  private func noteWritten(_ state: Int) throws(Stop) {
    guard states.slots[state].hasUnloggedWrites, states.slots[state].dirty.count == 0 else { return }
    let inode: Inode
    do throws(Stop) { inode = try self.inode(states.slots[state].number) } catch .fail {
      return loseWrites(states.slots[state].number)
    }
    let size = min(inode.size, Inode.maximumSize)
    states.slots[state].hasUnloggedWrites = false
    states.slots[state].loggedSize = size
    guard inode.layout != .inline else { return }
    note(
      .written(
        node: inode.id.raw, size: size, modified: inode.modificationTime, changed: inode.changeTime))
  }

  /// How much of what is gathered goes into one log write.
  private struct Selection {
    var end: Int
    var recordBlocks: Int
    /// The records all lie in the header.
    var isInline: Bool
  }

  /// Chooses gathered pages for a log write of at most `room` blocks behind its header; nil when not even the records and urgent
  /// pages fit.
  private func select(room: Int) -> Selection? {
    var bytes = log.records.bytes.count
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
      guard end < log.gathered.count else { break }
      let info = cache.frames[Int(log.gathered[end])]
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
    guard let best, best.end > 0 || log.gathered.isEmpty else { return nil }
    return best.end < min(urgentPages.count, log.gathered.count) ? nil : best
  }

  /// Forms and submits one log write with all records and as many gathered pages as fit.
  private func formLogWrite(mayForceUnitAccess: Bool) throws(Stop) {
    guard cache.reserve(Self.framesPerLogWrite) else { throw .again }
    let selection = try makeRoom()
    guard let segment = log.position.segment else { throw .again }
    // All of them before anything has changed.
    log.places.removeAll(keepingCapacity: true)
    for page in log.gathered[..<selection.end] { log.places.append(try location(of: page)) }
    beginChanges()
    let (index, write) = takeLogWrite(.foreground)
    let header = cache.takeBuffer()
    guard header != .none else {
      log.freeWrites.append(index)
      throw .again
    }
    append(header, to: write)
    noteSizes(0..<selection.end)
    var writer = LogHeaderWriter(cache.page(header))
    if !selection.isInline { appendRecordBlocks(&writer, write) }
    let address = geometry.segmentBlock(segment) + UInt64(log.position.offset)
    for position in 0..<selection.end {
      appendPage(log.gathered[position], log.places[position], &writer, write, address)
    }
    let isLast = selection.end == log.gathered.count
    write.forcesUnitAccess =
      mayForceUnitAccess && isLast && hasVolatileCache && write.count <= 64
      && log.flushedThrough == log.lastSequence && log.heldBackFrom == .max
    seal(&writer, write, header, address, isInline: selection.isInline, flags: 0)
    log.records.removeAll()
    urgentPages.removeAll(keepingCapacity: true)
    log.inFlight.append(index)
    submit(index, write, at: address)
  }

  /// Finds a place for the next log write, leaving the segment when too little of it is left.
  private func makeRoom() throws(Stop) -> Selection {
    if log.position.segment == nil { throw .again }
    while true {
      let left = Int(geometry.segmentBlocks) - Int(log.position.offset)
      if left >= 1, let selection = select(room: left - 1) { return selection }
      if left >= 1, left < Int(geometry.segmentBlocks) {
        guard usage.freeCount > 0 else { throw outOfSegments() }
        try leaveSegment()
      } else if left >= 1 {
        throw .fail(Code.io)
      }
      try nextSegment()
    }
  }

  /// Requests leave enough free segments for all that they change, so only damage leads here.
  private func outOfSegments() -> Stop {
    if !isReady { failForWantOfSegments("no free segment for the log") }
    checkpoint.isWanted = true
    cleaner.isWanted = true
    return .again
  }

  /// The chain goes to the segment that its headers named, and takes another to be named.
  private func nextSegment() throws(Stop) {
    guard let next = usage.take(age: checkpoint.age) else {
      throw outOfSegments()
    }
    if let segment = log.position.segment { usage.close(segment) }
    log.position.segment = log.nextSegment
    log.position.offset = 0
    log.nextSegment = next
  }

  /// A log write without contents, which says that the chain goes on in the next segment.
  private func leaveSegment() throws(Stop) {
    guard let segment = log.position.segment else { return }
    let header = cache.takeBuffer()
    guard header != .none else { throw .again }
    let (index, write) = takeLogWrite(.foreground)
    append(header, to: write)
    let address = geometry.segmentBlock(segment) + UInt64(log.position.offset)
    var writer = LogHeaderWriter(cache.page(header))
    let kept = log.records
    log.records = RecordBuffer()
    seal(&writer, write, header, address, isInline: true, flags: LogHeader.leavesSegment)
    log.records = kept
    log.inFlight.append(index)
    submit(index, write, at: address)
  }

  /// The sizes that files have once these pages are written.
  private func noteSizes(_ range: Range<Int>) {
    // Pages are in the order of inodes, but for urgent ones, which come first and in any order.
    let urgent = range.lowerBound..<min(range.lowerBound + urgentPages.count, range.upperBound)
    var at = range.lowerBound
    while at < range.upperBound {
      let number = gatheredInode(at)
      var end = at + 1
      while end < range.upperBound, gatheredInode(end) == number { end += 1 }
      var pages = end - at
      var last = cache.frames[Int(log.gathered[end - 1])].index
      if urgent.contains(at) {
        for position in at..<range.upperBound where gatheredInode(position) == number {
          pages += position < end ? 0 : 1
          last = max(last, cache.frames[Int(log.gathered[position])].index)
        }
      }
      if !urgent.contains(where: { $0 < at && gatheredInode($0) == number }) {
        noteSize(number, lastIndex: last, pages: pages)
      }
      at = end
    }
  }

  private func gatheredInode(_ position: Int) -> UInt64 {
    cache.frames[Int(log.gathered[position])].key.number
  }

  private func noteSize(_ number: UInt64, lastIndex: UInt64, pages: Int) {
    let frame = cache.find(NodeKey(.inode, number))
    guard let state = states.find(number), frame != .none else { return }
    let inode = Inode(cache.page(frame), number: number)
    let isAll = states.slots[state].dirty.count == pages
    let size = min(inode.size, isAll ? Inode.maximumSize : (lastIndex + 1) << 12)
    states.slots[state].loggedSize = max(states.slots[state].loggedSize, size)
    if isAll { states.slots[state].hasUnloggedWrites = false }
    log.records.append(
      .written(
        node: inode.id.raw, size: states.slots[state].loggedSize, modified: inode.modificationTime,
        changed: inode.changeTime))
  }

  private func appendRecordBlocks(_ writer: inout LogHeaderWriter, _ write: LogWrite) {
    log.records.bytes.withUnsafeBytes { bytes in
      var offset = 0
      while offset < bytes.count {
        let frame = cache.takeBuffer()
        let page = cache.page(frame)
        page.clear()
        let end = min(offset + Page.size, bytes.count)
        page.copy(UnsafeRawBufferPointer(rebasing: bytes[offset..<end]), at: 0)
        append(frame, to: write)
        writer.addRecordBlock(checksum: checksum.of(page))
        offset = end
      }
    }
  }

  /// Puts a dirty page into a log write: from now on the map says that it lies there.
  private func appendPage(
    _ frame: FrameIndex, _ place: (inode: Inode, slot: MapSlot), _ writer: inout LogHeaderWriter,
    _ write: LogWrite, _ header: UInt64
  ) {
    let info = cache.frames[Int(frame)]
    work += Work.checksum + Work.page
    let sum = checksum.of(cache.page(frame))
    let address = header + UInt64(write.count)
    write.frames[write.count] = frame
    write.count += 1
    write.pages.append(frame)
    writer.add(
      OwnerRun(kind: .data, number: info.key.number, generation: place.inode.generation, index: info.index),
      checksum: sum)
    setMapEntry(place.slot, to: address, checksum: sum)
    guard let state = states.find(info.key.number) else { return }
    if states.slots[state].commitShare > 0 { states.slots[state].commitShare -= 1 }
    cache.remove(frame, from: &states.slots[state].dirty)
    appendClean(frame, state)
    cache.frames[Int(frame)].isDirty = false
    cache.frames[Int(frame)].isWriting = true
    dirtyPages -= 1
    if info.isCharged {
      cache.frames[Int(frame)].isCharged = false
      chargedPages -= 1
    }
  }

  /// Fills in the header and moves the chain behind this log write.
  private func seal(
    _ writer: inout LogHeaderWriter, _ write: LogWrite, _ frame: FrameIndex, _ address: UInt64,
    isInline: Bool,
    flags: UInt8
  ) {
    var header = LogHeader()
    header.head = .foreground
    header.flags = flags
    header.sequence = log.position.sequence
    header.epoch = log.epoch
    header.previousChecksum = log.previousChecksum
    header.flushedThrough = log.flushedThrough
    header.nextSegment = log.nextSegment
    header.address = address
    write.sequence = header.sequence
    log.previousChecksum = log.records.bytes.withUnsafeBytes { bytes in
      writer.finish(
        header, inline: isInline ? bytes : UnsafeRawBufferPointer(start: nil, count: 0),
        recordBytes: bytes.count,
        nonce: nonce, checksum: checksum)
    }
    log.position.sequence += 1
    log.position.offset += UInt32(truncatingIfNeeded: write.count)
    log.blocksSinceCut += UInt64(write.count)
    if let segment = log.position.segment {
      write.segment = segment
      usage.wrote(segment, age: checkpoint.age)
    }
  }
}
