import Format
import Glibc

/// The check of log records before they are applied: recovery accepts only records that a request can have
/// made, of names that stand for what the record says.
extension Replay {
  /// Refuses a record that no request makes, before anything of it is applied.
  func checkPossible(_ record: LogRecord) throws(Stop) {
    switch record {
    case .create(let create): try checkCreate(create)
    case .link(let parent, let node, _, _, let name):
      try checkFree(name, in: parent)
      try require(!(try nodes.inode(NodeID(raw: node)).isDirectory))
    case .unlink(let parent, let node, _, _, let name):
      try checkName(name, in: parent, standsFor: node)
      try checkEmpty(node)
    case .dropName(let parent, let node, _, let name): try checkName(name, in: parent, standsFor: node)
    case .rename(let rename): try checkRename(rename)
    case .setAttributes(let set):
      if set.sizeChanged { try checkFile(set.node, size: set.size) }
    case .writeInline(let node, _, _, _): try checkFile(node, size: 0)
    case .written(let node, let size, _, _): try checkFile(node, size: size)
    case .attribute(_, _, _, let name, let value):
      try require((1...AttributeEntries.maximumName).contains(name.count))
      try require(value.count <= AttributeEntries.maximumValue)
    case .allocate(let node, _, let offset, let length, _):
      try checkFile(node, size: max(offset, length))
      try require(
        offset + length <= Inode.maximumSize && FileContents.touched(offset, length).count <= Entry.perBlock)
    }
  }

  private func require(_ condition: Bool) throws(Stop) {
    guard condition else { throw .fail(EIO) }
  }

  private func checkCreate(_ create: LogRecord.Create) throws(Stop) {
    if create.name.isEmpty {
      try require(create.parent == NodeID.orphans.raw && create.mode & 0o170000 == 0o100000)
    } else {
      try checkFree(create.name, in: create.parent)
    }
    let isSymlink = create.mode & 0o170000 == 0o120000
    try require(
      NodeID(raw: create.node).number >= nodes.inodes.firstNumber && Inode.isKnownType(create.mode)
        && create.target.count < Page.size && isSymlink != create.target.isEmpty)
  }

  private func checkRename(_ rename: LogRecord.Rename) throws(Stop) {
    try checkName(rename.name, in: rename.parent, standsFor: rename.node)
    guard rename.other != 0 else {
      try require(!rename.exchanges)
      return try checkFree(rename.newName, in: rename.newParent)
    }
    try checkName(rename.newName, in: rename.newParent, standsFor: rename.other)
    if !rename.exchanges { try checkEmpty(rename.other) }
  }

  /// The record with a name in a directory; nil when there is none.
  private func find(_ name: UnsafeRawBufferPointer, in parent: UInt64) throws(Stop) -> DirectoryRecord? {
    try require(DirectoryRecord.isPossible(name))
    let directory = try nodes.inode(NodeID(raw: parent))
    try require(directory.isDirectory)
    return try directories.findName(directory, name)
  }

  /// A name that an inode is to have, which no inode has yet.
  private func checkFree(_ name: UnsafeRawBufferPointer, in parent: UInt64) throws(Stop) {
    try require(try find(name, in: parent) == nil)
  }

  /// A name that is to be taken from an inode.
  private func checkName(_ name: UnsafeRawBufferPointer, in parent: UInt64, standsFor node: UInt64)
    throws(Stop)
  {
    try require(try find(name, in: parent)?.node == NodeID(raw: node))
  }

  /// An inode that loses a name: it is no directory with entries.
  private func checkEmpty(_ node: UInt64) throws(Stop) {
    let inode = try nodes.inode(NodeID(raw: node))
    try require(!inode.isDirectory || inode.entryCount == 0)
  }

  /// A regular file that is to have so many bytes.
  private func checkFile(_ node: UInt64, size: UInt64) throws(Stop) {
    try require(size <= Inode.maximumSize)
    try require(try nodes.inode(NodeID(raw: node)).isRegular)
  }
}
