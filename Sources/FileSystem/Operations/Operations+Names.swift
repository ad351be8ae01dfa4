import FileProtocol
import Format
import Glibc

/// Operations on names: lookup, mknod, mkdir, symlink, create, link, unlink, rmdir, rename, readdir.
extension Operations {
  private static let noReplace: UInt32 = 1
  private static let exchange: UInt32 = 2
  private static let whiteout: UInt32 = 4
  /// Blocks that a new name can take: an inode, the nodes of a directory whose leaf splits, and table blocks.
  static let blocksPerName: UInt64 = 12

  /// The directory that a request names as the parent.
  private func directory(_ node: UInt64) throws(Stop) -> Inode {
    let inode = try nodes.inode(NodeID(raw: node))
    guard inode.isDirectory else { throw .fail(ENOTDIR) }
    guard inode.links > 0 else { throw .fail(ENOENT) }
    return inode
  }

  private func checkName(_ name: UnsafeRawBufferPointer) throws(Stop) {
    guard name.count <= DirectoryRecord.maximumName else { throw .fail(ENAMETOOLONG) }
    guard name.count > 0 else { throw .fail(ENOENT) }
  }

  /// Fills in a reply with an inode, which gives the kernel one more lookup of it, by the request's name with
  /// the hash `hash`.
  func replyEntry(_ slot: Int, _ inode: Inode, hash: UInt64) {
    let state = states.obtain(inode)
    states.look(state, in: NodeID(raw: requests[slot].node).number, hash: hash)
    replies[slot].node = inode.id.raw
    replies[slot].attributes = stat(inode)
  }

  /// stat(2)'s view of an inode.
  func stat(_ inode: Inode) -> Attributes {
    var attributes = Attributes()
    attributes.number = inode.number
    attributes.mode = inode.mode
    attributes.links = inode.links
    attributes.uid = inode.uid
    attributes.gid = inode.gid
    attributes.device = inode.device
    attributes.size = inode.size
    // Blocks of a detached tree still count in the inode until they are freed, but are no longer the file's.
    let blocks = inode.detachedRoot == 0 ? inode.blocks : min(inode.blocks, FileMap.blocks(inode.size))
    attributes.sectors = (blocks &+ (inode.isRegular && inode.layout != .inline ? 0 : 1)) &* 8
    attributes.accessTime = inode.accessTime
    attributes.modificationTime = inode.modificationTime
    attributes.changeTime = inode.changeTime
    attributes.birthTime = inode.birthTime
    return attributes
  }

  func lookup(_ slot: Int) throws(Stop) {
    let request = requests[slot]
    let directory = try directory(request.node)
    guard request.name.count <= DirectoryRecord.maximumName else { throw .fail(ENAMETOOLONG) }
    guard let record = try directories.findName(directory, request.name) else { return finish(slot) }
    try readAhead(record.node)
    if let inode = try readableInode(record.node) {
      replyEntry(slot, inode, hash: record.hash)
    } else {
      try replyUnreadable(slot, record)
    }
    finish(slot)
  }

  /// Reads an inode that is not in memory together with its neighbours. A damaged one is met again.
  private func readAhead(_ id: NodeID) throws(Stop) {
    do throws(Stop) { try nodes.readAhead(inode: id.number) } catch .fail {}
  }

  // MARK: New names

  /// Creates an inode with a name: for mknod, mkdir, symlink and create.
  func make(_ slot: Int, mode: UInt32) throws(Stop) -> Inode {
    let request = requests[slot]
    try beginChange()
    try checkName(request.name)
    guard Inode.isKnownType(mode) else { throw .fail(EINVAL) }
    let parent = try directory(request.node)
    guard try directories.findName(parent, request.name) == nil else { throw .fail(EEXIST) }
    let isDirectory = mode & 0o170000 == 0o040000
    var create = LogRecord.Create(
      parent: request.node, node: 0, mode: mode, uid: request.uid, gid: request.gid, device: request.device,
      time: event.now.realtime, name: request.name, target: UnsafeRawBufferPointer(start: nil, count: 0))
    if mode & 0o170000 == 0o120000 {
      guard request.otherName.count < Page.size else { throw .fail(ENAMETOOLONG) }
      guard request.otherName.count > 0 else { throw .fail(ENOENT) }
      create.target = request.otherName
    }
    if parent.mode & 0o2000 != 0 {
      create.gid = parent.gid
      if isDirectory { create.mode |= 0o2000 }
    }
    return try make(create)
  }

  /// Creates the inode that a record describes, under a number of its own.
  private func make(_ record: LogRecord.Create) throws(Stop) -> Inode {
    var create = record
    try space.checkSpace(Self.blocksPerName, for: create.uid)
    try nodes.fillPool(nodes.inodes, 1)
    create.node = nodes.inodes.nextInPool
    try changes.prepare(.create(create))
    waiting.beginChanges()
    let id = nodes.takeNumber(nodes.inodes)
    create.node = id.raw
    try changes.perform(.create(create))
    uncommitted.append(.create(create))
    return try nodes.inode(id)
  }

  func makeAndReply(_ slot: Int, mode: UInt32) throws(Stop) {
    replyEntry(slot, try make(slot, mode: mode), hash: volume.hash.of(requests[slot].name))
    finish(slot)
  }

  /// create: makes the file, or opens the one that another request has made first.
  func create(_ slot: Int) throws(Stop) {
    let request = requests[slot]
    let parent = try directory(request.node)
    if let record = try directories.findName(parent, request.name) {
      guard request.flags & UInt32(O_EXCL) == 0 else { throw .fail(EEXIST) }
      let inode = try nodes.inode(record.node)
      if request.flags & UInt32(O_TRUNC) != 0 { try truncateAtOpen(inode) }
      replyEntry(slot, inode, hash: record.hash)
    } else {
      replyEntry(
        slot, try make(slot, mode: (request.mode & 0o7777) | 0o100000), hash: volume.hash.of(request.name))
    }
    replies[slot].handle = replies[slot].node
    replies[slot].keepCache = keepsKernelCache
    finish(slot)
  }

  /// O_TMPFILE: makes a file without a name, to which link(2) may give one. Unless it does, the file is freed
  /// like a removed one.
  func createUnnamed(_ slot: Int) throws(Stop) {
    let request = requests[slot]
    try beginChange()
    let parent = try directory(request.node)
    let inode = try make(
      LogRecord.Create(
        parent: NodeID.orphans.raw, node: 0, mode: (request.mode & 0o7777) | 0o100000, uid: request.uid,
        gid: parent.mode & 0o2000 != 0 ? parent.gid : request.gid, device: 0, time: event.now.realtime,
        name: Self.noName, target: Self.noName))
    replyEntry(slot, inode, hash: 0)
    // The kernel did not know it when it became an orphan.
    states[states.obtain(inode)].kernel.beganUnnamed()
    replies[slot].handle = replies[slot].node
    replies[slot].keepCache = keepsKernelCache
    finish(slot)
  }

  private static var noName: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: nil, count: 0) }

  /// Whether an inode may get a further name, or its first one.
  private func mayBeNamed(_ inode: Inode) -> Bool {
    inode.links > 0 || states.find(inode.number).map { states[$0].kernel.mayBeNamed } ?? false
  }

  func link(_ slot: Int) throws(Stop) {
    let request = requests[slot]
    try beginChange()
    try checkName(request.name)
    let parent = try directory(request.node)
    let inode = try nodes.inode(NodeID(raw: request.otherNode))
    guard !inode.isDirectory else { throw .fail(EPERM) }
    let links = inode.links
    guard mayBeNamed(inode) else { throw .fail(ENOENT) }
    guard links < Inode.maximumLinks else { throw .fail(EMLINK) }
    guard try directories.findName(parent, request.name) == nil else { throw .fail(EEXIST) }
    let record = LogRecord.link(
      parent: request.node, node: request.otherNode, links: links + 1, time: event.now.realtime,
      name: request.name)
    try space.checkSpace(Self.blocksPerName, for: request.uid)
    try changes.prepare(record)
    try changes.perform(record)
    uncommitted.append(record)
    replyEntry(slot, inode, hash: volume.hash.of(request.name))
    finish(slot)
  }

  // MARK: Removing names

  func unlink(_ slot: Int, isDirectory: Bool) throws(Stop) {
    let request = requests[slot]
    try beginChange(givesSpace: true)
    let parent = try directory(request.node)
    guard let entry = try directories.findName(parent, request.name) else { throw .fail(ENOENT) }
    guard let inode = try readableInode(entry.node) else {
      return try unlinkUnreadable(slot, entry, isDirectory: isDirectory)
    }
    if isDirectory {
      guard inode.isDirectory else { throw .fail(ENOTDIR) }
      guard inode.entryCount == 0 else { throw .fail(ENOTEMPTY) }
    } else {
      guard !inode.isDirectory else { throw .fail(EISDIR) }
    }
    let links = isDirectory ? 0 : inode.linksWithoutOne
    let record = LogRecord.unlink(
      parent: request.node, node: inode.id.raw, links: links, time: event.now.realtime, name: request.name)
    try changes.prepare(record)
    try changes.perform(record)
    uncommitted.append(record)
    finish(slot)
  }

  // MARK: rename

  func rename(_ slot: Int) throws(Stop) {
    let request = requests[slot]
    try beginChange()
    try checkName(request.otherName)
    let exchanges = request.flags & Self.exchange != 0
    guard request.flags & ~(Self.noReplace | Self.exchange | Self.whiteout) == 0,
      !exchanges || request.flags == Self.exchange
    else { throw .fail(EINVAL) }
    let parent = try directory(request.node)
    let newParent = try directory(request.otherNode)
    guard let entry = try directories.findName(parent, request.name) else { throw .fail(ENOENT) }
    let inode = try nodes.inode(entry.node)
    let replaced = try directories.findName(newParent, request.otherName)
    let existing = replaced?.node
    if exchanges, existing == nil { throw .fail(ENOENT) }
    if request.flags & Self.noReplace != 0, existing != nil { throw .fail(EEXIST) }
    let moves = parent.number != newParent.number
    if moves, inode.isDirectory { try checkNotBelow(newParent, inode.number, walk: 0) }
    if let replaced, let existing {
      guard existing != inode.id else { return finish(slot) }
      if !exchanges, isPostponed(slot, untilWrittenBack: inode) { return }
      guard let other = try readableInode(existing) else {
        return try renameOverUnreadable(slot, inode, replaced)
      }
      if exchanges {
        if moves, other.isDirectory { try checkNotBelow(parent, other.number, walk: 1) }
      } else {
        try checkReplaces(inode, other)
        try log.commitBeforeReplacing(inode)
      }
    }
    let rename = LogRecord.Rename(
      parent: request.node, newParent: request.otherNode, node: inode.id.raw, other: existing?.raw ?? 0,
      exchanges: exchanges, time: event.now.realtime, name: request.name, newName: request.otherName)
    if request.flags & Self.whiteout != 0 {
      try renameLeavingWhiteout(rename, parent, uid: request.uid, gid: request.gid)
    } else {
      if existing == nil { try space.checkSpace(Self.blocksPerName, for: request.uid) }
      try changes.prepare(.rename(rename))
      try changes.perform(.rename(rename))
      uncommitted.append(.rename(rename))
    }
    renamed(rename.node, to: rename.newParent, rename.newName)
    if exchanges { renamed(rename.other, to: rename.parent, rename.name) }
    finish(slot)
  }

  /// RENAME_WHITEOUT: the old name becomes a whiteout's, a device without number or permissions, by which
  /// overlayfs hides what a lower layer has there.
  ///
  /// It takes two records, which share a log write because they are appended in one event. Where the new name
  /// does not exist, the whiteout is created there and the two names are exchanged; where a file is replaced,
  /// the whiteout takes the room of the old name in its leaf. So the second record needs no block that
  /// preparing the first has not loaded or allocated.
  private func renameLeavingWhiteout(
    _ rename: LogRecord.Rename, _ parent: Inode, uid: UInt32, gid: UInt32
  ) throws(Stop) {
    let replaces = rename.other != 0
    try space.checkSpace(2 * Self.blocksPerName, for: uid)
    try nodes.fillPool(nodes.inodes, 1)
    try changes.prepare(.rename(rename))
    try nodes.prepareNodes(6)
    waiting.beginChanges()
    let whiteout = LogRecord.Create(
      parent: replaces ? rename.parent : rename.newParent, node: nodes.takeNumber(nodes.inodes).raw,
      mode: 0o020000,
      uid: uid, gid: parent.mode & 0o2000 != 0 ? parent.gid : gid, device: 0, time: rename.time,
      name: replaces ? rename.name : rename.newName, target: UnsafeRawBufferPointer(start: nil, count: 0))
    var move = rename
    if !replaces { (move.other, move.exchanges) = (whiteout.node, true) }
    let records: [LogRecord] =
      replaces ? [.rename(move), .create(whiteout)] : [.create(whiteout), .rename(move)]
    for record in records {
      try changes.prepare(record)
      try changes.perform(record)
      uncommitted.append(record)
    }
  }

  private func checkReplaces(_ inode: Inode, _ other: Inode) throws(Stop) {
    if inode.isDirectory {
      guard other.isDirectory else { throw .fail(ENOTDIR) }
      guard other.entryCount == 0 else { throw .fail(ENOTEMPTY) }
    } else if other.isDirectory {
      throw .fail(EISDIR)
    }
  }

  // MARK: Reading directories

  /// Bytes of a directory entry in FUSE's replies, without its name.
  private static let plainEntry = 24
  private static let fullEntry = 152
  /// With so many entries a readdirplus reply ends at the first inode that is not in memory. It is also the
  /// most inodes that it reads from the device.
  private static let inodesAtATime = 64
  /// Entries in a reply, at most, whatever room the kernel has.
  private static let entriesPerAnswer = 1024

  /// readdir and readdirplus: entries after the cookie, as many as the kernel has room for.
  func readDirectory(_ slot: Int, full: Bool) throws(Stop) {
    let request = requests[slot]
    let directory = try nodes.inode(NodeID(raw: request.node))
    guard directory.isDirectory else { throw .fail(ENOTDIR) }
    var room = Int(clamping: request.length)
    var entries: [DirectoryEntry] = []
    func add(_ name: [UInt8], _ cookie: UInt64, _ id: NodeID, _ attributes: Attributes) -> Bool {
      let size = ((full ? Self.fullEntry : Self.plainEntry) + name.count + 7) & ~7
      guard size <= room, entries.count < Self.entriesPerAnswer else { return false }
      room -= size
      event.count(Work.name)
      entries.append(DirectoryEntry(name: name, cookie: cookie, node: id.raw, attributes: attributes))
      return true
    }
    // Inodes that cannot be read are sent without a node id: the kernel looks them up by name when a program
    // uses them.
    let nowhere = NodeID(raw: 0)
    if request.offset < 1 {
      guard add([46], 1, directory.id, Self.brief(directory.number, type: 4)) else {
        throw .fail(EINVAL)
      }
    }
    if request.offset < 2 {
      let parent = NodeID(raw: directory.parent)
      guard add([46, 46], 2, parent, Self.brief(parent.number, type: 4)) else { return reply(slot, entries) }
    }
    var missing = 0
    try directories.forEachName(directory, after: max(request.offset, 2)) { record throws(Stop) in
      let name = Array(record.name)
      // Such a name would mislead the kernel, or make it refuse the whole reply.
      guard name.withUnsafeBytes({ DirectoryRecord.isPossible($0) }) else {
        throw loader.damaged(directory.page)
      }
      guard full else {
        return add(name, record.key, record.node, Self.brief(record.node.number, type: record.type))
      }
      if entries.count >= Self.inodesAtATime, missing == 0, !nodes.isInMemory(record.node) { return false }
      var attributes = Self.brief(record.node.number, type: record.type)
      var id = nowhere
      do throws(Stop) {
        if let inode = try readableInode(record.node) { (id, attributes) = (record.node, stat(inode)) }
      } catch {
        // Go on, so that all missing inodes are read at the same time.
        missing += 1
      }
      return add(name, record.key, id, attributes) && missing < Self.inodesAtATime
    }
    guard missing == 0 else { throw .again(.read) }
    // The kernel counts a lookup for every node id that it is sent.
    if full {
      for entry in entries where entry.cookie > 2 && entry.node != 0 {
        countLookup(entry.node, in: directory.number, hash: entry.cookie >> DirectoryHash.ordinalBits)
      }
    }
    touchAccessTime(directory)
    reply(slot, entries)
  }

  private func reply(_ slot: Int, _ entries: [DirectoryEntry]) {
    replies[slot].entries = entries
    finish(slot)
  }

  /// Counts a lookup that a reply gives the kernel, whether the inode can be read or not.
  func countLookup(_ node: UInt64, in parent: UInt64, hash: UInt64) {
    let id = NodeID(raw: node)
    // In a statement of its own, because obtaining a state may move the array of states.
    let state = nodes.inodeInMemory(id.number).map { states.obtain($0) } ?? states.obtain(id, size: 0)
    states.look(state, in: parent, hash: hash)
  }

  /// The name by which the kernel has looked an inode up has changed.
  private func renamed(_ node: UInt64, to parent: UInt64, _ name: UnsafeRawBufferPointer) {
    guard let state = states.find(NodeID(raw: node).number) else { return }
    states[state].kernel.setName(in: NodeID(raw: parent).number, hash: volume.hash.of(name))
  }

  /// The attributes of an inode that its directory entry has: number and type.
  static func brief(_ number: UInt64, type: UInt8) -> Attributes {
    var attributes = Attributes()
    attributes.number = number
    attributes.mode = UInt32(type) << 12
    return attributes
  }
}
