import Format
import Glibc

/// Applies log records to names, attributes and files. A request builds a record, recovery reads one from the
/// log, and both apply it here, so that replay repeats exactly what the request did.
///
/// Owns nothing; it is the one place in which records change names, attributes and files. The size and times
/// of a plain write do not come here: `Operations.write` sets them, and the log records them with its pages.
/// `prepare` loads and allocates everything that `perform` needs, so that a record is performed whole or not
/// at all.
///
/// Recovery alone needs one step more (`prepareInline`): attributes may lie in an inode that did not when the
/// record was made, so they are moved out before a record that leaves a file's bytes in its inode. Every kind
/// of record that does so needs it.
final class Changes {
  private let waiting: Waiting
  private let nodes: NodeStore
  private let states: InodeStates
  private let directories: Directories
  private let attributes: ExtendedAttributes
  private let contents: FileContents
  private let free: FreeQueue
  private let condition: Condition

  init(contents: FileContents, directories: Directories, attributes: ExtendedAttributes, free: FreeQueue) {
    self.contents = contents
    self.directories = directories
    self.attributes = attributes
    self.free = free
    nodes = contents.nodes
    waiting = nodes.waiting
    states = contents.states
    condition = contents.condition
  }

  /// Loads and allocates what `perform` will need, without any change that a user can see.
  func prepare(_ record: LogRecord) throws(Stop) {
    switch record {
    case .create(let create):
      _ = try nodes.inode(id: create.parent)
      if create.name.isEmpty {
        try directories.prepareOrphan(NodeID(raw: create.node).number)
      } else {
        try directories.prepareInsert(try nodes.inode(id: create.parent), create.name)
      }
      try nodes.prepareNodes(4)
    case .link(let parent, let node, _, _, let name):
      _ = try nodes.inode(id: node)
      try directories.prepareInsert(try nodes.inode(id: parent), name)
    case .unlink(let parent, let node, _, _, let name):
      _ = try nodes.inode(id: node)
      _ = try directories.findName(try nodes.inode(id: parent), name)
      try directories.prepareOrphan(NodeID(raw: node).number)
    case .dropName(let parent, _, _, let name):
      _ = try directories.findName(try nodes.inode(id: parent), name)
    case .rename(let rename): try prepareRename(rename)
    case .setAttributes(let set): try prepareSetAttributes(set)
    case .writeInline(let node, let offset, _, let data):
      try attributes.prepareInlineRoom(try nodes.inode(id: node), for: Int(offset) + data.count)
    case .written(let node, _, _, _):
      _ = try nodes.inode(id: node)
      try nodes.prepareNodes(FileMap.nodesPerWrite)
    case .attribute(let node, let removes, _, let name, let value):
      let inode = try nodes.inode(id: node)
      if removes {
        _ = try attributes.findAttribute(inode, name)
      } else {
        try attributes.prepareAttribute(inode, name, value: value.count)
      }
    case .allocate(let node, let mode, let offset, let length, _):
      let inode = try nodes.inode(id: node)
      try prepareInline(inode, end: offset + length)
      try contents.prepareAllocate(inode, mode: mode, offset: offset, length: length)
    }
  }

  /// Makes the change. `prepare` came before, in the same event.
  func perform(_ record: LogRecord) throws(Stop) {
    waiting.beginChanges()
    switch record {
    case .create(let create): try performCreate(create)
    case .link(let parent, let node, let links, let time, let name):
      let inode = try nodes.inode(id: node)
      let directory = try nodes.inode(id: parent)
      try directories.insertName(directory, name, node: inode.id, type: Self.entryType(inode.mode))
      touch(directory, time)
      nodes.modify(inode.page)
      if inode.links == 0 { becomeNamed(inode) }
      inode.links = links
      inode.changeTime = time
    case .unlink(let parent, let node, let links, let time, let name):
      try performUnlink(
        try nodes.inode(id: parent), try nodes.inode(id: node), links: links, time: time, name: name)
    case .dropName(let parent, _, let time, let name):
      let directory = try nodes.inode(id: parent)
      try directories.removeName(directory, name)
      touch(directory, time)
    case .rename(let rename): try performRename(rename)
    case .setAttributes(let set): try performSetAttributes(set)
    case .writeInline(let node, let offset, let time, let data):
      try contents.performWriteInline(try nodes.inode(id: node), offset: Int(offset), time: time, data: data)
    case .written(let node, let size, let modified, let changed):
      let inode = try nodes.inode(id: node)
      try contents.makeMapped(inode)
      nodes.modify(inode.page)
      inode.size = max(inode.size, size)
      inode.modificationTime = modified
      inode.changeTime = changed ?? max(inode.changeTime, modified)
    case .attribute(let node, let removes, let time, let name, let value):
      let inode = try nodes.inode(id: node)
      if removes {
        try attributes.removeAttribute(inode, name)
      } else {
        try attributes.setAttribute(inode, name, value)
      }
      nodes.modify(inode.page)
      inode.changeTime = time
    case .allocate(let node, let mode, let offset, let length, let time):
      try contents.performAllocate(
        try nodes.inode(id: node), mode: mode, offset: offset, length: length, time: time)
    }
  }

  /// DT_* for the type bits of a mode.
  static func entryType(_ mode: UInt32) -> UInt8 { UInt8(truncatingIfNeeded: (mode & 0o170000) >> 12) }

  /// Sets a directory's times after its names changed.
  private func touch(_ directory: Inode, _ time: Int64) {
    nodes.modify(directory.page)
    directory.modificationTime = time
    directory.changeTime = time
  }

  // MARK: Names

  private func performCreate(_ create: LogRecord.Create) throws(Stop) {
    let id = NodeID(raw: create.node)
    let parent = try nodes.inode(id: create.parent)
    let inode = Inode.make(in: try nodes.newInode(id.number), id: id, mode: create.mode)
    inode.uid = create.uid
    inode.gid = create.gid
    inode.device = create.device
    inode.accessTime = create.time
    inode.modificationTime = create.time
    inode.changeTime = create.time
    inode.birthTime = create.time
    guard !create.name.isEmpty else { return try becomeOrphan(inode) }
    inode.links = inode.isDirectory ? 2 : 1
    if inode.isSymlink { try storeTarget(inode, create.target) }
    try directories.insertName(parent, create.name, node: id, type: Self.entryType(create.mode))
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
      let fresh = try nodes.newNode(as: .symlink)
      fresh.page.copy(target, at: 0)
      inode.layout = .node
      inode.root = fresh.number
    }
  }

  private func performUnlink(
    _ parent: Inode, _ inode: Inode, links: UInt32, time: Int64, name: UnsafeRawBufferPointer
  ) throws(Stop) {
    try directories.removeName(parent, name)
    touch(parent, time)
    try dropLink(inode, parent: parent, links: links, time: time)
  }

  /// Sets the link count of an inode that lost a name; at zero links it becomes an orphan.
  private func dropLink(_ inode: Inode, parent: Inode, links: UInt32, time: Int64) throws(Stop) {
    nodes.modify(inode.page)
    inode.links = links
    inode.changeTime = time
    if inode.isDirectory {
      nodes.modify(parent.page)
      parent.loseSubdirectory()
    }
    if links == 0 { try becomeOrphan(inode) }
  }

  /// Puts an inode without a name into the orphan directory. It is freed once the kernel does not know it.
  private func becomeOrphan(_ inode: Inode) throws(Stop) {
    try directories.insertOrphan(inode.number)
    if let state = states.find(inode.number), states[state].kernel.lookups > 0 {
      states[state].kernel.becomeOrphan()
    } else {
      free.add(inode.number)
    }
  }

  /// An inode without a name gets one. The freeing job takes it out of the orphan directory.
  private func becomeNamed(_ inode: Inode) {
    if let state = states.find(inode.number) { states[state].kernel.becameNamed() }
    free.add(inode.number)
  }

  // MARK: Rename

  private func prepareRename(_ rename: LogRecord.Rename) throws(Stop) {
    let parent = try nodes.inode(id: rename.parent)
    let newParent = try nodes.inode(id: rename.newParent)
    _ = try nodes.inode(id: rename.node)
    _ = try directories.findName(parent, rename.name)
    if rename.other != 0 {
      let other = try nodes.inode(id: rename.other)
      _ = try directories.findName(newParent, rename.newName)
      if !rename.exchanges { try directories.prepareOrphan(other.number) }
    } else {
      try directories.prepareInsert(newParent, rename.newName)
      try nodes.prepareNodes(6)
    }
  }

  private func performRename(_ rename: LogRecord.Rename) throws(Stop) {
    let parent = try nodes.inode(id: rename.parent)
    let newParent = try nodes.inode(id: rename.newParent)
    let inode = try nodes.inode(id: rename.node)
    let type = Self.entryType(inode.mode)
    if rename.exchanges {
      let other = try nodes.inode(id: rename.other)
      try directories.replaceName(parent, rename.name, node: other.id, type: Self.entryType(other.mode))
      try directories.replaceName(newParent, rename.newName, node: inode.id, type: type)
      let areBoth = inode.isDirectory && other.isDirectory
      moveParent(of: other, from: newParent, to: parent, time: rename.time, counts: !areBoth)
      moveParent(of: inode, from: parent, to: newParent, time: rename.time, counts: !areBoth)
    } else if rename.other != 0 {
      let other = try nodes.inode(id: rename.other)
      try directories.removeName(parent, rename.name)
      try directories.replaceName(newParent, rename.newName, node: inode.id, type: type)
      let links = other.isDirectory ? 0 : other.linksWithoutOne
      try dropLink(other, parent: newParent, links: links, time: rename.time)
      moveParent(of: inode, from: parent, to: newParent, time: rename.time)
    } else {
      try directories.removeName(parent, rename.name)
      // Removing may have emptied the very leaf that was prepared, when both names are in one directory.
      try directories.prepareInsert(newParent, rename.newName)
      try directories.insertName(newParent, rename.newName, node: inode.id, type: type)
      moveParent(of: inode, from: parent, to: newParent, time: rename.time)
    }
    touch(parent, rename.time)
    touch(newParent, rename.time)
  }

  /// Points the ".." of a moved directory at its new parent. `counts` is false where two directories are
  /// exchanged, so that neither parent's link count changes.
  private func moveParent(
    of inode: Inode, from old: Inode, to new: Inode, time: Int64, counts: Bool = true
  ) {
    nodes.modify(inode.page)
    inode.changeTime = time
    guard inode.isDirectory, old.number != new.number else { return }
    inode.parent = new.id.raw
    guard counts else { return }
    nodes.modify(old.page)
    nodes.modify(new.page)
    old.loseSubdirectory()
    new.gainSubdirectory()
  }

  // MARK: Attributes

  private func prepareSetAttributes(_ set: LogRecord.SetAttributes) throws(Stop) {
    let inode = try nodes.inode(id: set.node)
    if set.sizeChanged { try prepareInline(inode, end: set.size) }
    guard set.sizeChanged, inode.layout != .inline || set.size > UInt64(inode.inlineRoom) else { return }
    try nodes.prepareNodes(FileMap.nodesPerWrite)
    if set.size <= inode.size {
      if try contents.needsCut(inode, to: set.size) {
        try contents.prepareCut(inode, to: FileMap.blocks(set.size))
      }
    } else {
      try contents.prepareTail(inode)
    }
  }

  /// Recovery only: an inode may hold attributes that did not lie there when the record was made. They are
  /// moved out, so that a file whose bytes lay in the inode then keeps them there: records of writes into the
  /// inode may follow.
  private func prepareInline(_ inode: Inode, end: UInt64) throws(Stop) {
    guard !condition.isReady else { return }
    try attributes.prepareInlineRoom(inode, for: Int(clamping: end))
  }

  private func performSetAttributes(_ set: LogRecord.SetAttributes) throws(Stop) {
    let inode = try nodes.inode(id: set.node)
    nodes.modify(inode.page)
    if set.sizeChanged { try contents.setSize(inode, set.size) }
    inode.mode = (inode.mode & 0o170000) | (set.mode & 0o7777)
    inode.uid = set.uid
    inode.gid = set.gid
    inode.accessTime = set.accessTime
    inode.modificationTime = set.modificationTime
    inode.changeTime = set.changeTime
  }
}
