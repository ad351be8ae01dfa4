import Format
import Glibc

/// Changes of a file's size and allocation: inline contents, growing, truncating, fallocate, punching holes,
/// and freeing detached trees.
///
/// Owns nothing; it keeps inode, map (`FileMap`) and pages (`Pages`) consistent with each other. Bytes past a
/// file's end are undefined on the device: an operation that makes the file longer clears them (`clearTail`).
/// An inode's room is shared with `ExtendedAttributes`: while mounted a file that no longer fits beside them
/// gets a map, in recovery they make room for it.
final class FileContents {
  let cache: Cache
  let event: Event
  let waiting: Waiting
  let condition: Condition
  let loader: Loader
  let nodes: NodeStore
  let map: FileMap
  let pages: Pages
  let states: InodeStates
  let uncommitted: Uncommitted
  let directories: Directories
  let free: FreeQueue

  init(pages: Pages, directories: Directories, free: FreeQueue, condition: Condition) {
    self.pages = pages
    self.directories = directories
    self.free = free
    self.condition = condition
    map = pages.map
    nodes = map.nodes
    cache = nodes.cache
    event = nodes.event
    waiting = nodes.waiting
    loader = nodes.loader
    states = pages.states
    uncommitted = pages.uncommitted
  }

  /// Gives a file whose bytes lie in the inode a map. The bytes become a dirty page, urgent: it must be in
  /// the same log write as the record that made this necessary. The caller has called `prepareNodes`.
  func makeMapped(_ inode: Inode) throws(Stop) {
    guard inode.layout == .inline else { return }
    nodes.modify(inode.page)
    let length = inode.inlineLength
    if length > 0 {
      let frame = try pages.makeDataPage(inode, 0)
      let page = cache.page(frame)
      page.copy(inode.page.bytes(at: Inode.inlineStart, count: length), at: 0)
      page.clear(at: length)
      uncommitted.addUrgent(PageName(inode: inode.number, index: 0))
    }
    // Clear all of the area: bytes after the contents would be read as map entries.
    inode.page.clear(at: Inode.inlineStart, count: inode.inlineRoom)
    let size = Inode.directEntries * Entry.size
    if size <= inode.inlineRoom {
      inode.layout = .direct
      inode.inlineLength = size
    } else {
      inode.layout = .tree
      inode.height = 1
      inode.inlineLength = 0
      inode.root = try map.newMapNode().number
    }
    guard length > 0 else { return }
    pages.place(pages.dataFrame(inode.number, 0), of: inode, at: try map.makeMapSlot(inode, 0))
  }

  /// Sets a file's size. The caller has prepared what it needs.
  func setSize(_ inode: Inode, _ size: UInt64) throws(Stop) {
    if inode.layout == .inline, size <= UInt64(inode.inlineRoom) {
      let old = inode.inlineLength
      let new = Int(size)
      inode.page.clear(at: Inode.inlineStart + min(old, new), count: max(old, new) - min(old, new))
      inode.inlineLength = new
    } else if size <= inode.size {
      // A file truncated to nothing becomes inline, whatever its layout: in recovery records of inline writes
      // may follow.
      if try needsCut(inode, to: size) { try cutMap(inode, to: FileMap.blocks(size)) }
    } else {
      try makeMapped(inode)
      try clearTail(inode, isUrgent: true)
    }
    inode.size = size
    if inode.layout == .inline { inode.inlineLength = Int(size) }
    uncommitted.setLoggedSize(inode.number, size)
    pages.makeUpForLost(inode.number, size..<UInt64.max)
  }

  /// Writes bytes into the inode. Bytes for which it has no room can only come from a damaged log, so no
  /// acknowledged write fails here.
  func performWriteInline(
    _ inode: Inode, offset: Int, time: Int64, data: UnsafeRawBufferPointer
  ) throws(Stop) {
    guard inode.layout == .inline, offset + data.count <= inode.inlineRoom else { throw .fail(EIO) }
    nodes.modify(inode.page)
    extendInline(inode, to: offset + data.count)
    inode.page.copy(data, at: Inode.inlineStart + offset)
    inode.size = UInt64(inode.inlineLength)
    inode.modificationTime = time
    inode.changeTime = time
    uncommitted.setLoggedSize(inode.number, inode.size)
  }

  /// Makes the inline contents at least `length` bytes long; the added bytes are zeros.
  func extendInline(_ inode: Inode, to length: Int) {
    guard length > inode.inlineLength else { return }
    inode.page.clear(at: Inode.inlineStart + inode.inlineLength, count: length - inode.inlineLength)
    inode.inlineLength = length
  }

  // MARK: The last block's tail

  /// Loads the block whose bytes past the file's end `clearTail` will clear.
  func prepareTail(_ inode: Inode) throws(Stop) {
    guard inode.layout != .inline, inode.size & 4095 != 0 else { return }
    let index = inode.size >> 12
    try map.prepareMap(inode, index..<index + 1)
    _ = try pages.dataPage(inode, index)
  }

  /// Clears the bytes past the file's end in its last block, left from when the file was longer. `isUrgent`:
  /// the growth has a record of its own, so the block must be in the same log write.
  func clearTail(_ inode: Inode, isUrgent: Bool) throws(Stop) {
    guard inode.layout != .inline, inode.size & 4095 != 0 else { return }
    let index = inode.size >> 12
    let start = Int(inode.size & 4095)
    guard let frame = try pages.dataPage(inode, index) else { return }
    let page = cache.page(frame)
    guard page.bytes(at: start, count: Page.size - start).contains(where: { $0 != 0 }) else { return }
    let dirty = try pages.makeDataPage(inode, index)
    cache.page(dirty).clear(at: start)
    pages.place(dirty, of: inode, at: try map.makeMapSlot(inode, index))
    if isUrgent { uncommitted.addUrgent(PageName(inode: inode.number, index: index)) }
  }
}
