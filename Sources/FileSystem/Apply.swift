import CMachine
import Format

/// The changes themselves. A request makes one by building a record, and recovery by reading it: both come here, so that
/// what was replayed is what was done.
extension FileSystem {
  /// Loads and allocates what `perform` will need. Nothing that a user can see changes.
  func prepare(_ record: LogRecord) throws(Stop) {
    switch record {
    case .create(let create):
      _ = try inode(NodeID(raw: create.parent))
      try prepareInsert(try inode(NodeID(raw: create.parent)), create.name)
      try prepareNodes(4)
    case .link(let parent, let node, _, _, let name):
      _ = try inode(NodeID(raw: node))
      try prepareInsert(try inode(NodeID(raw: parent)), name)
    case .unlink(let parent, let node, _, _, let name):
      _ = try inode(NodeID(raw: node))
      _ = try findName(try inode(NodeID(raw: parent)), name)
      try prepareOrphan(NodeID(raw: node).number)
    case .dropName(let parent, _, _, let name): _ = try findName(try inode(NodeID(raw: parent)), name)
    case .rename(let rename): try prepareRename(rename)
    case .setAttributes(let set): try prepareSetAttributes(set)
    case .writeInline(let node, let offset, _, let data):
      try prepareInlineRoom(try inode(NodeID(raw: node)), for: Int(offset) + data.count)
    case .written(let node, _, _, _):
      _ = try inode(NodeID(raw: node))
      try prepareNodes(Self.nodesPerWrite)
    case .attribute(let node, let removes, _, let name, let value):
      let inode = try inode(NodeID(raw: node))
      if removes {
        _ = try findAttribute(inode, name)
      } else {
        try prepareAttribute(inode, name, value: value.count)
      }
    case .allocate(let node, let mode, let offset, let length, _):
      try prepareAllocate(try inode(NodeID(raw: node)), mode: mode, offset: offset, length: length)
    }
  }

  /// Makes the change. `prepare` came before, in the same event.
  func perform(_ record: LogRecord) throws(Stop) {
    beginChanges()
    switch record {
    case .create(let create): try performCreate(create)
    case .link(let parent, let node, let links, let time, let name):
      let inode = try inode(NodeID(raw: node))
      let directory = try inode_(parent)
      try insertName(directory, name, node: inode.id, type: Self.entryType(inode.mode))
      touch(directory, time)
      modify(inode.page)
      inode.links = links
      inode.changeTime = time
    case .unlink(let parent, let node, let links, let time, let name):
      try performUnlink(try inode_(parent), try inode_(node), links: links, time: time, name: name)
    case .dropName(let parent, _, let time, let name):
      let directory = try inode_(parent)
      try removeName(directory, name)
      touch(directory, time)
    case .rename(let rename): try performRename(rename)
    case .setAttributes(let set): try performSetAttributes(set)
    case .writeInline(let node, let offset, let time, let data):
      try performWriteInline(try inode_(node), offset: Int(offset), time: time, data: data)
    case .written(let node, let size, let modified, let changed):
      let inode = try inode_(node)
      try makeMapped(inode)
      modify(inode.page)
      inode.size = max(inode.size, size)
      inode.modificationTime = modified
      inode.changeTime = changed ?? max(inode.changeTime, modified)
    case .attribute(let node, let removes, let time, let name, let value):
      let inode = try inode_(node)
      if removes { try removeAttribute(inode, name) } else { try setAttribute(inode, name, value) }
      modify(inode.page)
      inode.changeTime = time
    case .allocate(let node, let mode, let offset, let length, let time):
      try performAllocate(try inode_(node), mode: mode, offset: offset, length: length, time: time)
    }
  }

  @inline(__always)
  private func inode_(_ raw: UInt64) throws(Stop) -> Inode { try inode(NodeID(raw: raw)) }

  /// DT_* for the type bits of a mode.
  static func entryType(_ mode: UInt32) -> UInt8 { UInt8(truncatingIfNeeded: (mode & 0o170000) >> 12) }

  /// A directory's names changed.
  private func touch(_ directory: Inode, _ time: Int64) {
    modify(directory.page)
    directory.modificationTime = time
    directory.changeTime = time
  }

  // MARK: Names

  private func performCreate(_ create: LogRecord.Create) throws(Stop) {
    let id = NodeID(raw: create.node)
    let parent = try inode_(create.parent)
    let page = try makeNode(NodeKey(.inode, id.number))
    modify(page)
    cache.frames[Int(cache.frame(of: page))].role = .map
    let inode = Inode.make(in: page, id: id, mode: create.mode)
    inode.uid = create.uid
    inode.gid = create.gid
    inode.device = create.device
    inode.links = inode.isDirectory ? 2 : 1
    inode.accessTime = create.time
    inode.modificationTime = create.time
    inode.changeTime = create.time
    inode.birthTime = create.time
    if inode.isSymlink { try storeTarget(inode, create.target) }
    try insertName(parent, create.name, node: id, type: Self.entryType(create.mode))
    touch(parent, create.time)
    if inode.isDirectory {
      inode.parent = parent.id.raw
      parent.gainSubdirectory()
    }
  }

  private func storeTarget(_ inode: Inode, _ target: UnsafeRawBufferPointer) throws(Stop) {
    inode.size = UInt64(target.count)
    if target.count <= Inode.inlineCapacity {
      inode.page.copy(target, at: Inode.inlineStart)
      inode.inlineLength = target.count
    } else {
      let fresh = try newNode()
      fresh.page.copy(target, at: 0)
      inode.layout = .node
      inode.root = fresh.number
    }
  }

  private func performUnlink(
    _ parent: Inode, _ inode: Inode, links: UInt32, time: Int64, name: UnsafeRawBufferPointer
  ) throws(Stop) {
    try removeName(parent, name)
    touch(parent, time)
    try dropLink(inode, parent: parent, links: links, time: time)
  }

  /// An inode lost a name; without any left it becomes an orphan.
  private func dropLink(_ inode: Inode, parent: Inode, links: UInt32, time: Int64) throws(Stop) {
    modify(inode.page)
    inode.links = links
    inode.changeTime = time
    if inode.isDirectory {
      modify(parent.page)
      parent.loseSubdirectory()
    }
    if links == 0 {
      try insertOrphan(inode.number)
      if let state = states.find(inode.number), states.slots[state].lookups > 0 {
        states.slots[state].isOrphan = true
      } else {
        enqueueReclaim(inode.number)
      }
    }
  }

  // MARK: Rename

  private func prepareRename(_ rename: LogRecord.Rename) throws(Stop) {
    let parent = try inode_(rename.parent)
    let newParent = try inode_(rename.newParent)
    _ = try inode_(rename.node)
    _ = try findName(parent, rename.name)
    if rename.other != 0 {
      let other = try inode_(rename.other)
      _ = try findName(newParent, rename.newName)
      if !rename.exchanges { try prepareOrphan(other.number) }
    } else {
      try prepareInsert(newParent, rename.newName)
      try prepareNodes(6)
    }
  }

  private func performRename(_ rename: LogRecord.Rename) throws(Stop) {
    let parent = try inode_(rename.parent)
    let newParent = try inode_(rename.newParent)
    let inode = try inode_(rename.node)
    let type = Self.entryType(inode.mode)
    if rename.exchanges {
      let other = try inode_(rename.other)
      try replaceName(parent, rename.name, node: other.id, type: Self.entryType(other.mode))
      try replaceName(newParent, rename.newName, node: inode.id, type: type)
      let areBoth = inode.isDirectory && other.isDirectory
      moveParent(of: other, from: newParent, to: parent, time: rename.time, counts: !areBoth)
      moveParent(of: inode, from: parent, to: newParent, time: rename.time, counts: !areBoth)
    } else if rename.other != 0 {
      let other = try inode_(rename.other)
      try removeName(parent, rename.name)
      try replaceName(newParent, rename.newName, node: inode.id, type: type)
      let links = other.isDirectory ? 0 : other.linksWithoutOne
      try dropLink(other, parent: newParent, links: links, time: rename.time)
      moveParent(of: inode, from: parent, to: newParent, time: rename.time)
    } else {
      try removeName(parent, rename.name)
      // Removing may have emptied the very leaf that was prepared, when both names are in one directory.
      try prepareInsert(newParent, rename.newName)
      try insertName(newParent, rename.newName, node: inode.id, type: type)
      moveParent(of: inode, from: parent, to: newParent, time: rename.time)
    }
    touch(parent, rename.time)
    touch(newParent, rename.time)
  }

  /// A directory that changes its parent takes its ".." along. `counts` is false where another takes its place.
  private func moveParent(
    of inode: Inode, from old: Inode, to new: Inode, time: Int64, counts: Bool = true
  ) {
    modify(inode.page)
    inode.changeTime = time
    guard inode.isDirectory, old.number != new.number else { return }
    inode.parent = new.id.raw
    guard counts else { return }
    modify(old.page)
    modify(new.page)
    old.loseSubdirectory()
    new.gainSubdirectory()
  }

  // MARK: Attributes

  private func prepareSetAttributes(_ set: LogRecord.SetAttributes) throws(Stop) {
    let inode = try inode_(set.node)
    guard set.sizeChanged, inode.layout != .inline || set.size > UInt64(inode.inlineRoom) else { return }
    try prepareNodes(Self.nodesPerWrite)
    if set.size <= inode.size {
      if try needsCut(inode, to: set.size) { try prepareCut(inode, to: Self.blocks(set.size)) }
    } else {
      try prepareTail(inode)
    }
  }

  private func performSetAttributes(_ set: LogRecord.SetAttributes) throws(Stop) {
    let inode = try inode_(set.node)
    modify(inode.page)
    if set.sizeChanged { try setSize(inode, set.size) }
    inode.mode = (inode.mode & 0o170000) | (set.mode & 0o7777)
    inode.uid = set.uid
    inode.gid = set.gid
    inode.accessTime = set.accessTime
    inode.modificationTime = set.modificationTime
    inode.changeTime = set.changeTime
  }

  /// 4 KiB blocks that `size` bytes take.
  @inline(__always)
  static func blocks(_ size: UInt64) -> UInt64 { (size >> 12) + (size & 4095 == 0 ? 0 : 1) }

  private func setSize(_ inode: Inode, _ size: UInt64) throws(Stop) {
    if inode.layout == .inline, size <= UInt64(inode.inlineRoom) {
      let old = inode.inlineLength
      let new = Int(size)
      inode.page.clear(at: Inode.inlineStart + min(old, new), count: max(old, new) - min(old, new))
      inode.inlineLength = new
    } else if size <= inode.size {
      // An emptied file is inline whatever it was: recovery may find it shorter than it was, with records of inline
      // writes to come.
      if try needsCut(inode, to: size) { try cutMap(inode, to: Self.blocks(size)) }
    } else {
      try makeMapped(inode)
      try clearTail(inode, isUrgent: true)
    }
    inode.size = size
    if inode.layout == .inline { inode.inlineLength = Int(size) }
    if let state = states.find(inode.number) { states.slots[state].loggedSize = size }
    makeUpForLost(inode.number, size..<UInt64.max)
  }

  /// Only a damaged log can hold bytes that have no room: nothing that was acknowledged is passed over.
  private func performWriteInline(
    _ inode: Inode, offset: Int, time: Int64, data: UnsafeRawBufferPointer
  ) throws(Stop) {
    guard inode.layout == .inline, offset + data.count <= inode.inlineRoom else { throw .fail(Code.io) }
    modify(inode.page)
    extendInline(inode, to: offset + data.count)
    inode.page.copy(data, at: Inode.inlineStart + offset)
    inode.size = UInt64(inode.inlineLength)
    inode.modificationTime = time
    inode.changeTime = time
    if let state = states.find(inode.number) { states.slots[state].loggedSize = inode.size }
  }

  /// Makes the inline area at least `length` bytes long; those that are new are zeros, whatever lay there.
  func extendInline(_ inode: Inode, to length: Int) {
    guard length > inode.inlineLength else { return }
    inode.page.clear(at: Inode.inlineStart + inode.inlineLength, count: length - inode.inlineLength)
    inode.inlineLength = length
  }

  // MARK: The last block's tail

  /// Loads the block whose bytes behind the file's end have to be cleared before the file grows.
  func prepareTail(_ inode: Inode) throws(Stop) {
    guard inode.layout != .inline, inode.size & 4095 != 0 else { return }
    let index = inode.size >> 12
    try prepareMap(inode, index..<index + 1)
    _ = try dataPage(inode, index)
  }

  /// Clears the bytes behind the file's end in its last block, which a former, longer file may have left.
  /// `isUrgent`: the growth is in a record of its own, so the block goes into the same log write.
  func clearTail(_ inode: Inode, isUrgent: Bool) throws(Stop) {
    guard inode.layout != .inline, inode.size & 4095 != 0 else { return }
    let index = inode.size >> 12
    let start = Int(inode.size & 4095)
    guard let frame = try dataPage(inode, index) else { return }
    let page = cache.page(frame)
    guard page.bytes(at: start, count: Page.size - start).contains(where: { $0 != 0 }) else { return }
    let dirty = try makeDataPage(inode, index)
    cache.page(dirty).clear(at: start)
    place(dirty, of: inode, at: try makeMapSlot(inode, index))
    if isUrgent { urgentPages.append(PageName(inode: inode.number, index: index)) }
  }
}
