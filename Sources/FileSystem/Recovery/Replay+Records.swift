import Format
import Glibc

/// The check of log records before they are applied: recovery accepts only records that a request can have
/// made.
extension Replay {
  /// Refuses a record that no request makes, before anything of it is applied.
  func checkPossible(_ record: LogRecord) throws(Stop) {
    switch record {
    case .create(let create):
      try checkName(create.name, in: create.parent)
      let isSymlink = create.mode & 0o170000 == 0o120000
      try require(
        NodeID(raw: create.node).number >= nodes.inodes.firstNumber && Inode.isKnownType(create.mode)
          && create.target.count < Page.size && (isSymlink || create.target.isEmpty))
    case .link(let parent, let node, _, _, let name):
      try checkName(name, in: parent)
      try require(!(try nodes.inode(NodeID(raw: node)).isDirectory))
    case .unlink(let parent, _, _, _, let name): try checkName(name, in: parent)
    case .dropName(let parent, _, _, let name): try checkName(name, in: parent)
    case .rename(let rename):
      try checkName(rename.name, in: rename.parent)
      try checkName(rename.newName, in: rename.newParent)
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

  private func checkName(_ name: UnsafeRawBufferPointer, in parent: UInt64) throws(Stop) {
    try require(DirectoryRecord.isPossible(name))
    try require(try nodes.inode(NodeID(raw: parent)).isDirectory)
  }

  /// A regular file that is to have so many bytes.
  private func checkFile(_ node: UInt64, size: UInt64) throws(Stop) {
    try require(size <= Inode.maximumSize)
    try require(try nodes.inode(NodeID(raw: node)).isRegular)
  }
}
