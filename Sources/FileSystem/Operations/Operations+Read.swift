import FileProtocol
import Format
import Glibc

/// Reading: read, lseek, and the access time.
extension Operations {
  /// read(2): holes and cached blocks are filled into the slot, the other blocks are read from the device
  /// into the slot.
  func read(_ slot: Int) throws(Stop) {
    let request = requests[slot]
    let inode = try nodes.inode(NodeID(raw: request.node))
    guard inode.isRegular else { throw .fail(inode.isDirectory ? EISDIR : EINVAL) }
    usedKernelCache(request)
    let room = UInt64(request.frameCount) * 4096
    let end = min(request.offset &+ min(request.length, room - (request.offset & 4095)), inode.size)
    guard request.offset < end else { return finish(slot) }
    replies[slot].dataOffset = Int(request.offset & 4095)
    replies[slot].count = end - request.offset
    if inode.layout == .inline {
      let bytes = inode.page.bytes(at: Inode.inlineStart, count: inode.inlineLength)
      slots.page(slot, 0).copy(bytes, at: 0)
      touchAccessTime(inode)
      return finish(slot)
    }
    let range = request.offset >> 12..<FileMap.blocks(end)
    guard range.count <= SlotReads.maximumBlocks else { throw .fail(EINVAL) }
    // First, because the request must not be run again once its reads have been submitted.
    try map.prepareMap(inode, range)
    try pages.waitForReads(inode.number, range)
    touchAccessTime(inode)
    waiting.beginChanges()
    if try reads.read(slot, inode, range) { finish(slot) }
  }

  /// lseek(2) with SEEK_DATA (3) and SEEK_HOLE (4).
  func seek(_ slot: Int) throws(Stop) {
    let request = requests[slot]
    let inode = try nodes.inode(NodeID(raw: request.node))
    guard request.flags == 3 || request.flags == 4 else { throw .fail(EINVAL) }
    if isPostponed(slot, untilWrittenBack: inode) { return }
    guard request.offset < inode.size else { throw .fail(ENXIO) }
    let wantsData = request.flags == 3
    if inode.layout == .inline {
      replies[slot].offset = wantsData ? request.offset : inode.size
      return finish(slot)
    }
    let end = FileMap.blocks(inode.size)
    var index = max(request.offset >> 12, waiting.cursor.searched)
    if try !contents.find(wantsData ? .data : .hole, in: inode, from: &index, to: end) {
      guard !wantsData else { throw .fail(ENXIO) }
      replies[slot].offset = inode.size
    } else {
      replies[slot].offset = min(max(request.offset, index << 12), inode.size)
    }
    finish(slot)
  }

  /// Updates the access time if the mount's option says so: always, or (relatime) if the file has changed
  /// since the last update or that is a day ago.
  func touchAccessTime(_ inode: Inode) {
    guard isAccessDue(inode), nodes.dirtyCount < space.dirtyNodeLimit, space.mayDirtyNodes,
      !space.isShortOfSegments(space.segmentDemand())
    else { return }
    nodes.modify(inode.page)
    inode.accessTime = event.now.realtime
  }

  /// Whether a read updates the access time now.
  func isAccessDue(_ inode: Inode) -> Bool {
    guard !condition.isReadOnly, options.accessTimes != .never, !condition.isStopping else { return false }
    let day: Int64 = 86_400_000_000_000
    return options.accessTimes == .always || inode.accessTime <= inode.modificationTime
      || inode.accessTime <= inode.changeTime || event.now.realtime &- inode.accessTime >= day
  }
}
