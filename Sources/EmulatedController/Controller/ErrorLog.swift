import NVMeSpec

/// The latest failures, newest first.
struct ErrorLog {
  /// How many are kept.
  static let limit = 64

  private(set) var entries: [ErrorLogEntry] = []
  /// How many failures there were.
  private(set) var total: UInt64

  /// A log without entries, whose count starts at `total`.
  init(total: UInt64 = 0) { self.total = total }

  /// Appends a failure and numbers it.
  mutating func append(_ entry: ErrorLogEntry) {
    total += 1
    var entry = entry
    entry.count = total
    if entries.count == Self.limit { entries.removeLast() }
    entries.insert(entry, at: 0)
  }

  /// The log page.
  var page: [UInt8] {
    var bytes = [UInt8](repeating: 0, count: Self.limit * ErrorLogEntry.size)
    bytes.withUnsafeMutableBytes { buffer in
      for (index, entry) in entries.enumerated() {
        let range = index * ErrorLogEntry.size..<(index + 1) * ErrorLogEntry.size
        entry.encode(into: UnsafeMutableRawBufferPointer(rebasing: buffer[range]))
      }
    }
    return bytes
  }
}
