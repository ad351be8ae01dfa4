import BlockProtocol
import CMachine
import Format

extension FileSystem {
  /// read(2): holes and what is cached are copied into the slot, the rest is read from the device into the slot.
  func read(_ slot: Int) throws(Stop) {
    let request = requests[slot]
    let inode = try inode(NodeID(raw: request.node))
    guard inode.isRegular else { throw .fail(inode.isDirectory ? Code.isDirectory : Code.invalid) }
    noteCached(request)
    let room = UInt64(request.frameCount) * 4096
    let end = min(request.offset &+ min(request.length, room - (request.offset & 4095)), inode.size)
    guard request.offset < end else { return finish(slot) }
    replies[slot].dataOffset = Int(request.offset & 4095)
    replies[slot].count = end - request.offset
    if inode.layout == .inline {
      let bytes = inode.page.bytes(at: Inode.inlineStart, count: inode.inlineLength)
      slotPage(slot, 0).copy(bytes, at: 0)
      noteAccess(inode)
      return finish(slot)
    }
    let range = request.offset >> 12..<Self.blocks(end)
    guard range.count <= SlotState.maximumBlocks else { throw .fail(Code.invalid) }
    try prepareRead(inode, range)
    noteAccess(inode)
    beginChanges()
    try issueReads(slot, inode, range)
    if slots[slot].pendingReads == 0 { finish(slot) }
  }

  /// A page of the slot's data area.
  func slotPage(_ slot: Int, _ index: Int) -> Page {
    Page(memory.base + (Int(requests[slot].firstFrame) + index) * Page.size)
  }

  /// Nothing more may be missing once reads have been handed out.
  private func prepareRead(_ inode: Inode, _ range: Range<UInt64>) throws(Stop) {
    try prepareMap(inode, range)
    guard states.find(inode.number) != nil || !loadWaiters.isEmpty else { return }
    for index in range {
      let frame = dataFrame(inode.number, index)
      if frame != .none, cache.frames[Int(frame)].state == .loading {
        wait(for: frame)
        throw .again
      }
    }
  }

  private func issueReads(_ slot: Int, _ inode: Inode, _ range: Range<UInt64>) throws(Stop) {
    let hasPages = states.find(inode.number).map {
      states.slots[$0].dirty.count + states.slots[$0].clean.count > 0
    }
    var run: (block: UInt64, first: Int, count: Int) = (0, 0, 0)
    var place: MapSlot?
    for (position, index) in range.enumerated() {
      if position == 0 || index & 255 == 0 || inode.layout == .direct {
        place = try mapSlot(inode, index)
      } else if let known = place {
        place = MapSlot(page: known.page, offset: known.offset + Entry.size)
      }
      if hasPages ?? false {
        let frame = dataFrame(inode.number, index)
        if frame != .none, cache.frames[Int(frame)].state == .ready {
          cache.frames[Int(frame)].isReferenced = true
          slotPage(slot, position).copy(cache.page(frame).bytes(at: 0, count: Page.size), at: 0)
          continue
        }
      }
      let entry = place?.entry ?? Entry()
      guard entry.address != 0 else {
        slotPage(slot, position).clear()
        continue
      }
      guard geometry.segment(of: entry.address) != nil else {
        slots[slot].readError = Code.io
        continue
      }
      slotChecksums[slot * SlotState.maximumBlocks + position] = entry.checksum
      if run.count > 0, run.block + UInt64(run.count) == entry.address, run.first + run.count == position {
        run.count += 1
      } else {
        issue(run, slot)
        run = (entry.address, position, 1)
      }
    }
    issue(run, slot)
    if slots[slot].pendingReads == 0, slots[slot].readError != 0 { throw .fail(slots[slot].readError) }
  }

  private func issue(_ run: (block: UInt64, first: Int, count: Int), _ slot: Int) {
    guard run.count > 0 else { return }
    slots[slot].pendingReads += 1
    effects.commands.append(
      BlockCommand(
        .read, block: run.block, count: UInt32(truncatingIfNeeded: run.count),
        frames: identity + Int(requests[slot].firstFrame) + run.first,
        tag: Tag(readFor: slot, first: run.first, count: run.count).raw))
  }

  /// A part of a slot's read has arrived, or not.
  func readEnded(_ tag: Tag, _ code: Int32) {
    let slot = tag.slot
    slots[slot].pendingReads -= 1
    if code != 0 {
      if slots[slot].readError == 0 { slots[slot].readError = code }
      slots[slot].badBlock = min(slots[slot].badBlock, tag.first)
    } else {
      for block in tag.first..<tag.first + tag.count
      where checksum.of(slotPage(slot, block)) != slotChecksums[slot * SlotState.maximumBlocks + block] {
        slots[slot].hasMismatch = true
        slots[slot].badBlock = min(slots[slot].badBlock, block)
      }
    }
    guard slots[slot].pendingReads == 0 else { return }
    endRead(slot)
  }

  /// A block that does not match may have moved while it was read: it is looked up once more before it counts as damage.
  private func endRead(_ slot: Int) {
    if slots[slot].readError == 0, slots[slot].hasMismatch, !slots[slot].isSecondTry {
      slots[slot].isSecondTry = true
      slots[slot].hasMismatch = false
      slots[slot].badBlock = .max
      runnable.append(slot)
      return
    }
    if slots[slot].hasMismatch {
      counters.checksumErrors += 1
    }
    noteFailedRead(slot)
    if slots[slot].readError != 0 || slots[slot].hasMismatch { replies[slot].error = Code.io }
    finish(slot)
  }

  /// Notes a file's blocks that could not be read.
  private func noteFailedRead(_ slot: Int) {
    let code = slots[slot].readError
    guard code != 0 || slots[slot].hasMismatch else { return }
    let inode = NodeID(raw: requests[slot].node).number
    // A read that failed before it had blocks is named by its beginning.
    let bad = slots[slot].badBlock == .max ? 0 : UInt64(slots[slot].badBlock)
    let block = requests[slot].offset / UInt64(Page.size) &+ bad
    let place = "inode \(inode) at byte \(block &* UInt64(Page.size))"
    noteError(
      code == 0 ? .checksum : .read,
      code == 0 ? "checksum error in \(place)" : "\(place) cannot be read\(Code.reason(code))",
      inode: inode, code: code, place: NodeKey(.data, inode).raw ^ block << 24)
  }

  /// The access time moves, when the mount wants it to: always, or at most once a day unless the file changed since.
  func noteAccess(_ inode: Inode) {
    guard isAccessDue(inode), dirtyNodeCount < dirtyNodeLimit, mayDirtyNodes,
      !isShortOfSegments(segmentDemand())
    else { return }
    modify(inode.page)
    inode.accessTime = now.realtime
  }

  /// Whether reading moves the access time now.
  func isAccessDue(_ inode: Inode) -> Bool {
    guard !isReadOnly, options.accessTimes != .never, !isStopping else { return false }
    let day: Int64 = 86_400_000_000_000
    return options.accessTimes == .always || inode.accessTime <= inode.modificationTime
      || inode.accessTime <= inode.changeTime || now.realtime &- inode.accessTime >= day
  }
}
