import Format
import Glibc

/// Names of inodes that cannot be read. Every access to such an inode fails, but its name can be removed or
/// replaced; the inode stays where it is, for fsck.varve. The record is `dropName`.
///
/// A lookup replies with a node id, without which the kernel could not remove the name, and is counted. A
/// listing sends the entry without one, and counts none. unlink and rename onto the name log `dropName`.
extension Operations {
  private static let directoryType: UInt8 = 4

  /// The inode of a directory entry; nil when it is damaged or missing.
  func readableInode(_ id: NodeID) throws(Stop) -> Inode? {
    do throws(Stop) { return try nodes.inode(id) } catch .fail { return nil }
  }

  /// lookup's reply: it has a node id, because without one the kernel could not remove the name.
  func replyUnreadable(_ slot: Int, _ record: DirectoryRecord) throws(Stop) {
    guard Inode.isKnownType(UInt32(record.type) << 12) else { throw .fail(EIO) }
    countLookup(record.node.raw, in: NodeID(raw: requests[slot].node).number, hash: record.hash)
    replies[slot].node = record.node.raw
    replies[slot].attributes = Self.brief(record.node.number, type: record.type)
    replies[slot].attributes.links = 1
    replies[slot].isUnreadable = true
  }

  /// Removes the name of an inode that cannot be read. A directory keeps its name, because fsck.varve may
  /// still save what it holds.
  func unlinkUnreadable(_ slot: Int, _ entry: DirectoryRecord, isDirectory: Bool) throws(Stop) {
    if entry.type == Self.directoryType {
      throw .fail(isDirectory ? EIO : EISDIR)
    }
    guard !isDirectory else { throw .fail(ENOTDIR) }
    let record = LogRecord.dropName(
      parent: requests[slot].node, node: entry.node.raw, time: event.now.realtime, name: requests[slot].name)
    try changes.prepare(record)
    try changes.perform(record)
    uncommitted.append(record)
    finish(slot)
  }

  /// rename onto the name of an inode that cannot be read: the name is removed and then inserted again, by
  /// two records that share a log write because they are appended in one event. Both are prepared first, and
  /// performing the one does not undo what was prepared for the other.
  func renameOverUnreadable(_ slot: Int, _ inode: Inode, _ replaced: DirectoryRecord) throws(Stop) {
    let request = requests[slot]
    guard request.flags == 0 else { throw .fail(EIO) }
    let isDirectory = replaced.type == Self.directoryType
    guard isDirectory || !inode.isDirectory else { throw .fail(ENOTDIR) }
    guard !isDirectory else { throw .fail(inode.isDirectory ? EIO : EISDIR) }
    try log.commitBeforeReplacing(inode)
    let drop = LogRecord.dropName(
      parent: request.otherNode, node: replaced.node.raw, time: event.now.realtime, name: request.otherName)
    let rename = LogRecord.rename(
      LogRecord.Rename(
        parent: request.node, newParent: request.otherNode, node: inode.id.raw, other: 0, exchanges: false,
        time: event.now.realtime, name: request.name, newName: request.otherName))
    try changes.prepare(drop)
    try changes.prepare(rename)
    try space.checkSpace(Self.blocksPerName, for: request.uid)
    for record in [drop, rename] {
      try changes.perform(record)
      uncommitted.append(record)
    }
    finish(slot)
  }
}
