import Format

/// The orphan directory, hidden from users: it holds inodes without a name and inodes with a detached tree
/// until these have been freed.
extension Directories {
  /// The name of an inode in the orphan directory: 16 hexadecimal digits.
  private func withOrphanName<T>(_ number: UInt64, _ body: (UnsafeRawBufferPointer) throws(Stop) -> T)
    throws(Stop) -> T
  {
    var digits: InlineArray<16, UInt8> = .init(repeating: 0)
    for place in 0..<16 {
      let digit = UInt8((number >> (60 - 4 * UInt64(place))) & 15)
      digits[place] = digit < 10 ? 48 + digit : 87 + digit
    }
    let result: Result<T, Stop> = withUnsafeBytes(of: &digits) { bytes in
      do throws(Stop) { return .success(try body(bytes)) } catch { return .failure(error) }
    }
    return try result.get()
  }

  /// Makes sure that an inode can be put into the orphan directory.
  func prepareOrphan(_ number: UInt64) throws(Stop) {
    let orphans = try nodes.inode(NodeID.orphans)
    try withOrphanName(number) { name throws(Stop) in try prepareInsert(orphans, name) }
  }

  /// Loads the blocks that `removeOrphan` needs.
  func loadOrphan(_ number: UInt64) throws(Stop) {
    let orphans = try nodes.inode(NodeID.orphans)
    _ = try withOrphanName(number) { name throws(Stop) in try findName(orphans, name)?.key }
  }

  /// Puts an inode into the orphan directory if it is not there.
  func insertOrphan(_ number: UInt64) throws(Stop) {
    let orphans = try nodes.inode(NodeID.orphans)
    let id = try nodes.inode(number).id
    try withOrphanName(number) { name throws(Stop) in
      if try findName(orphans, name) == nil { try insertName(orphans, name, node: id, type: 0) }
    }
  }

  /// Takes an inode out of the orphan directory.
  func removeOrphan(_ number: UInt64) throws(Stop) {
    let orphans = try nodes.inode(NodeID.orphans)
    try withOrphanName(number) { name throws(Stop) in
      if try findName(orphans, name) != nil { try removeName(orphans, name) }
    }
  }
}
