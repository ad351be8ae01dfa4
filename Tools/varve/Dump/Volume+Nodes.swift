import Format

/// Which of the two node tables a number belongs to.
enum NodeTableKind: String {
  case inode
  case `internal` = "internal node"

  func root(in pack: CheckpointPack) -> TableRoot { self == .inode ? pack.inodes : pack.internals }
}

/// Finding nodes by number.
extension Volume {
  /// The table's entry for a number.
  /// - Throws: `DumpError` when the number was never given out, or a table block is damaged.
  func entry(_ number: UInt64, in kind: NodeTableKind, of pack: CheckpointPack) throws(DumpError) -> Entry {
    let root = kind.root(in: pack)
    guard number > 0, number < root.limit else {
      throw DumpError("there is no \(kind.rawValue) \(number); numbers end below \(root.limit)")
    }
    var entry = Entry(address: root.address, checksum: root.checksum)
    for level in (0..<Int(root.height)).reversed() {
      guard entry.address != 0 else { return Entry() }
      let table = try block(entry.address, checksum: entry.checksum, "a block of the \(kind.rawValue) table")
      let index = Int(number >> (8 * UInt64(level)) & 255)
      entry = table.read { Entry($0, at: index * Entry.size) }
    }
    return entry
  }

  /// The block of a node.
  /// - Throws: `DumpError` when the number is not in use, or something on the way is damaged.
  func node(_ number: UInt64, in kind: NodeTableKind, of pack: CheckpointPack) throws(DumpError)
    -> DumpedBlock
  {
    let entry = try entry(number, in: kind, of: pack)
    guard entry.address != 0 else {
      throw DumpError("\(kind.rawValue) \(number) is not in use (generation \(entry.stamp))")
    }
    return try block(entry.address, checksum: entry.checksum, "\(kind.rawValue) \(number)")
  }

  /// The block of an inode that can be walked.
  func inode(_ number: UInt64, of pack: CheckpointPack) throws(DumpError) -> DumpedBlock {
    let block = try node(number, in: .inode, of: pack)
    guard block.read({ Inode($0).isValid(number: number) }) else {
      throw DumpError("inode \(number) contradicts itself; run fsck.varve")
    }
    return block
  }
}
