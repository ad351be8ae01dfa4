import Format

/// What a check keeps of an inode: 16 bytes.
struct InodeSummary {
  struct Flags: OptionSet {
    let rawValue: UInt8
    /// The number has an address in the table.
    static let used = Flags(rawValue: 1)
    /// The inode could be read; the other fields are valid.
    static let readable = Flags(rawValue: 2)
    /// The orphan directory names it.
    static let orphan = Flags(rawValue: 4)
    /// It has a detached tree, which is still to be freed.
    static let detached = Flags(rawValue: 8)
  }

  var generation: UInt32 = 0
  /// Links as the inode has them.
  var links: UInt32 = 0
  /// Names found.
  var names: UInt32 = 0
  /// The upper four bits of the mode: DT_* of dirent(3).
  var type: UInt8 = 0
  var flags: Flags = []

  var isDirectory: Bool { flags.contains(.readable) && type == 4 }
}

/// What a check keeps of a directory.
struct DirectorySummary {
  /// The parent that the inode names, as `NodeID.raw`.
  var parent: UInt64
  /// The number of the directory in which its name was found; 0 for none.
  var foundIn: UInt64 = 0
  /// The key of that name.
  var foundKey: UInt64 = 0
  /// Names found in it.
  var names: UInt64 = 0
  /// Directories found in it.
  var subdirectories: UInt32 = 0
}

/// Summaries by inode number, in chunks of a table leaf each.
final class InodeSummaries {
  private var chunks: [UInt64: UnsafeMutablePointer<InodeSummary>] = [:]

  deinit { for chunk in chunks.values { chunk.deallocate() } }

  /// Room for the 256 inodes of a leaf.
  func addLeaf(_ index: UInt64) -> UnsafeMutablePointer<InodeSummary> {
    if let chunk = chunks[index] { return chunk }
    let chunk = UnsafeMutablePointer<InodeSummary>.allocate(capacity: Entry.perBlock)
    chunk.initialize(repeating: InodeSummary(), count: Entry.perBlock)
    chunks[index] = chunk
    return chunk
  }

  /// The summary of an inode in use.
  func find(_ number: UInt64) -> UnsafeMutablePointer<InodeSummary>? {
    guard let chunk = chunks[number >> 8] else { return nil }
    let summary = chunk + Int(number & 0xFF)
    return summary.pointee.flags.contains(.used) ? summary : nil
  }

  /// Calls `body` for every inode in use, by ascending number.
  func forEach(_ body: (UInt64, UnsafeMutablePointer<InodeSummary>) -> Void) {
    for index in chunks.keys.sorted() {
      guard let chunk = chunks[index] else { continue }
      for offset in 0..<Entry.perBlock where chunk[offset].flags.contains(.used) {
        body(index << 8 | UInt64(offset), chunk + offset)
      }
    }
  }
}
