import Format
import Glibc

/// Operations on attributes: getattr, setattr, open, opendir, readlink, and the extended attributes.
extension Operations {
  /// All attributes as they are, for a record that changes some of them.
  func currentAttributes(of inode: Inode) -> LogRecord.SetAttributes {
    LogRecord.SetAttributes(
      node: inode.id.raw, mode: inode.mode, uid: inode.uid, gid: inode.gid, sizeChanged: false,
      size: inode.size,
      accessTime: inode.accessTime, modificationTime: inode.modificationTime, changeTime: inode.changeTime)
  }

  func getAttributes(_ slot: Int) throws(Stop) {
    let inode = try nodes.inode(NodeID(raw: requests[slot].node))
    answerQuestion(slot, inode)
    replies[slot].attributes = stat(inode)
    finish(slot)
  }

  // MARK: setattr

  func setAttributes(_ slot: Int) throws(Stop) {
    let request = requests[slot]
    let inode = try nodes.inode(NodeID(raw: request.node))
    try beginChange(givesSpace: request.change.size.map { $0 <= inode.size } ?? false)
    var set = currentAttributes(of: inode)
    set.changeTime = event.now.realtime
    let change = request.change
    let isGiven = change.uid != nil || change.gid != nil
    if change.size != nil || isGiven { try preparePrivileges(inode) }
    if let size = change.size {
      try setSize(&set, inode, size)
      try log.commitBeforeResize(inode, to: size)
    }
    if let mode = change.mode { set.mode = (inode.mode & 0o170000) | (mode & 0o7777) }
    if let uid = change.uid { set.uid = uid }
    if let gid = change.gid { set.gid = gid }
    if let time = change.accessTime { set.accessTime = time }
    if change.accessTimeNow { set.accessTime = event.now.realtime }
    if let time = change.modificationTime { set.modificationTime = time }
    if change.modificationTimeNow { set.modificationTime = event.now.realtime }
    if let time = change.changeTime { set.changeTime = time }
    try changes.prepare(.setAttributes(set))
    if set.sizeChanged { try checkGrowth(inode, set.size, for: requests[slot].uid) }
    if set.sizeChanged || (isGiven && !inode.isDirectory) {
      try dropPrivileges(inode, withMode: isGiven || request.killPrivileges)
      if change.mode == nil { set.mode = inode.mode }
    }
    try performChange(inode, set)
    replies[slot].attributes = stat(inode)
    finish(slot)
  }

  private func setSize(_ set: inout LogRecord.SetAttributes, _ inode: Inode, _ size: UInt64) throws(Stop) {
    guard inode.isRegular else { throw .fail(inode.isDirectory ? EISDIR : EINVAL) }
    guard size <= Inode.maximumSize else { throw .fail(EFBIG) }
    set.sizeChanged = true
    set.size = size
    set.modificationTime = event.now.realtime
  }

  /// Charges a growing file: bytes that leave the inode take a block, and the tail of a partial last block
  /// that has to be cleared may take one too.
  private func checkGrowth(_ inode: Inode, _ size: UInt64, for user: UInt32) throws(Stop) {
    guard size > inode.size, !contents.staysInline(inode, end: size) else { return }
    try space.checkSpace(inode.layout == .inline ? 2 : 0, for: user)
  }

  private func performChange(_ inode: Inode, _ set: LogRecord.SetAttributes) throws(Stop) {
    let cutsAll = set.sizeChanged && set.size == 0 && inode.size > 0
    try changes.perform(.setAttributes(set))
    uncommitted.append(.setAttributes(set))
    if cutsAll {
      uncommitted.commitOnClose(states.obtain(inode))
    }
  }

  /// open and create with O_TRUNC.
  func truncateAtOpen(_ inode: Inode) throws(Stop) {
    guard inode.isRegular, inode.size > 0 || inode.blocks > 0 else { return }
    try beginChange(givesSpace: true)
    var set = currentAttributes(of: inode)
    set.sizeChanged = true
    set.size = 0
    set.modificationTime = event.now.realtime
    set.changeTime = event.now.realtime
    try preparePrivileges(inode)
    try changes.prepare(.setAttributes(set))
    try dropPrivileges(inode, withMode: true)
    set.mode = inode.mode
    try performChange(inode, set)
  }

  func open(_ slot: Int) throws(Stop) {
    let request = requests[slot]
    let inode = try nodes.inode(NodeID(raw: request.node))
    if request.flags & UInt32(O_ACCMODE) != UInt32(O_RDONLY), !condition.isStopping {
      try recovery.requireWritable()
    }
    if request.flags & UInt32(O_TRUNC) != 0 { try truncateAtOpen(inode) }
    replies[slot].handle = request.node
    replies[slot].keepCache = keepsKernelCache
    finish(slot)
  }

  func openDirectory(_ slot: Int) throws(Stop) {
    let inode = try nodes.inode(NodeID(raw: requests[slot].node))
    guard inode.isDirectory else { throw .fail(ENOTDIR) }
    replies[slot].handle = requests[slot].node
    replies[slot].keepCache = keepsKernelCache
    finish(slot)
  }

  func readLink(_ slot: Int) throws(Stop) {
    let inode = try nodes.inode(NodeID(raw: requests[slot].node))
    guard inode.isSymlink else { throw .fail(EINVAL) }
    if inode.layout == .node {
      let page = try nodes.node(inode.root, as: .symlink)
      replies[slot].bytes = Array(page.bytes(at: 0, count: Int(clamping: inode.size)))
    } else {
      replies[slot].bytes = Array(inode.page.bytes(at: Inode.inlineStart, count: inode.inlineLength))
    }
    finish(slot)
  }

  // MARK: Extended attributes

  private static let createOnly: UInt32 = 1
  private static let replaceOnly: UInt32 = 2

  /// Checks that a name is one that this filesystem stores: user., trusted. or security., and not too long.
  private func checkAttributeName(_ name: UnsafeRawBufferPointer) throws(Stop) {
    guard name.count <= AttributeEntries.maximumName else { throw .fail(ERANGE) }
    for prefix in ["user.", "trusted.", "security."] where name.starts(with: prefix.utf8) {
      guard name.count > prefix.utf8.count else { throw .fail(EINVAL) }
      return
    }
    throw .fail(EOPNOTSUPP)
  }

  func setExtendedAttribute(_ slot: Int) throws(Stop) {
    let request = requests[slot]
    try beginChange()
    try checkAttributeName(request.name)
    guard request.otherName.count <= AttributeEntries.maximumValue else { throw .fail(E2BIG) }
    let inode = try nodes.inode(NodeID(raw: request.node))
    let existing = try attributes.findAttribute(inode, request.name)
    if request.flags & Self.createOnly != 0, existing != nil { throw .fail(EEXIST) }
    if request.flags & Self.replaceOnly != 0, existing == nil { throw .fail(ENODATA) }
    let record = LogRecord.attribute(
      node: request.node, removes: false, time: event.now.realtime, name: request.name,
      value: request.otherName)
    let blocks = try attributes.attributeBlocks(inode, request.name, value: request.otherName.count)
    try space.checkSpace(blocks, for: request.uid)
    try changes.prepare(record)
    try changes.perform(record)
    uncommitted.append(record)
    finish(slot)
  }

  func removeExtendedAttribute(_ slot: Int) throws(Stop) {
    let request = requests[slot]
    try beginChange(givesSpace: true)
    try checkAttributeName(request.name)
    let inode = try nodes.inode(NodeID(raw: request.node))
    guard try attributes.findAttribute(inode, request.name) != nil else { throw .fail(ENODATA) }
    let record = LogRecord.attribute(
      node: request.node, removes: true, time: event.now.realtime, name: request.name,
      value: UnsafeRawBufferPointer(start: nil, count: 0))
    try changes.prepare(record)
    try changes.perform(record)
    uncommitted.append(record)
    finish(slot)
  }

  func getExtendedAttribute(_ slot: Int) throws(Stop) {
    let request = requests[slot]
    try checkAttributeName(request.name)
    let inode = try nodes.inode(NodeID(raw: request.node))
    guard let found = try attributes.findAttribute(inode, request.name) else { throw .fail(ENODATA) }
    let count = found.attribute.valueCount
    let isAsked = try isAsked(slot, for: count)
    replies[slot].bytes = isAsked ? try attributes.value(of: found.attribute, in: inode) : []
    replies[slot].count = UInt64(count)
    finish(slot)
  }

  /// The longest list of names that the kernel accepts, in bytes.
  private static let maximumList = 65536

  /// Attribute nodes, and places for them, that a listing visits at most: more than the longest list takes
  /// with each name in a node of its own.
  private static let leavesListed: UInt64 = 65_536

  /// Lists the names in the inode first, then those in nodes, a node at a time: names already listed stay in
  /// the reply when the next node has to be read. `progress` is the hash at which that node begins.
  func listExtendedAttributes(_ slot: Int) throws(Stop) {
    let inode = try nodes.inode(NodeID(raw: requests[slot].node))
    let isPrivileged = requests[slot].uid == 0
    func add(_ attribute: AttributeEntries.Attribute) {
      if !isPrivileged, attribute.name.starts(with: "trusted.".utf8) { return }
      replies[slot].bytes.append(contentsOf: attribute.name)
      replies[slot].bytes.append(0)
    }
    if waiting.cursor.progress == 0 {
      guard AttributeEntries(inode).isValid else { throw .fail(EIO) }
      AttributeEntries(inode).forEach(add)
      waiting.cursor.progress = 1
    }
    while replies[slot].bytes.count <= Self.maximumList,
      let next = try attributes.forEachAttribute(inode, from: waiting.cursor.progress, add)
    {
      waiting.cursor.progress = next
      waiting.cursor.searched += 1
      // In a damaged tree indices may share their children, so that a listing could go on practically for
      // ever.
      guard waiting.cursor.searched <= Self.leavesListed else { throw loader.damaged(inode.page) }
      // Blocks read so far are no longer needed.
      waiting.releasePins()
      guard !event.isSpent else { throw .again(.share) }
    }
    let count = replies[slot].bytes.count
    guard count <= Self.maximumList else { throw .fail(E2BIG) }
    if try !isAsked(slot, for: count) { replies[slot].bytes = [] }
    replies[slot].count = UInt64(count)
    finish(slot)
  }

  /// Whether the kernel asks for the bytes themselves, not only for their count.
  private func isAsked(_ slot: Int, for count: Int) throws(Stop) -> Bool {
    guard requests[slot].length > 0 else { return false }
    guard count <= Int(clamping: requests[slot].length) else { throw .fail(ERANGE) }
    return true
  }
}
