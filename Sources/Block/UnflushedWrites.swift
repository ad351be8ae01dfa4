/// The writes to a namespace that are not known to be durable, and the last few that are: a checksum for each
/// 4 KiB block, in the order in which the writes ended.
///
/// Places in that order are counted from 0 and never reused. The entries are a ring, whose pages the kernel
/// allocates when they are first used.
struct UnflushedWrites: ~Copyable {
  struct Entry {
    /// The first 4 KiB block.
    var block: UInt64
    /// How many blocks.
    var count: UInt32
    /// The CRC-32C of a written block, from `BlockQueue.checksum`; undefined where `isData` is false.
    var checksum: UInt32
    /// Whether the entry is one written block; otherwise the contents of the blocks are unknown, as after a
    /// discard.
    var isData: Bool
  }

  /// The most entries, enough for 1 GiB of writes.
  static let capacity: UInt64 = 1 << 18
  /// How many durable entries are kept, to check that a device still holds what it had made durable.
  static let witnesses: UInt64 = 64

  /// The end of the order.
  private(set) var end: UInt64 = 0
  /// Entries before this place are durable.
  private(set) var flushed: UInt64 = 0
  /// Writes without a checksum lie before this place; they cannot be proved until they are durable.
  private var unprovableEnd: UInt64 = 0
  private let entries: UnsafeMutablePointer<Entry>

  init() { entries = .allocate(capacity: Int(Self.capacity)) }

  deinit { entries.deallocate() }

  /// The entry at a place that is at least `first`.
  subscript(place: UInt64) -> Entry { entries[Int(place % Self.capacity)] }

  /// Whether a flush should come before the ring is full.
  var needsFlush: Bool { end - flushed >= Self.capacity / 2 }

  /// Whether every write that is not durable has an entry.
  var isComplete: Bool { end - flushed <= Self.capacity && unprovableEnd <= flushed }

  /// The first place that a proof reads back.
  var first: UInt64 {
    let oldest = end > Self.capacity ? end - Self.capacity : 0
    return max(oldest, flushed > Self.witnesses ? flushed - Self.witnesses : 0)
  }

  mutating func append(_ entry: Entry) {
    (entries + Int(end % Self.capacity)).initialize(to: entry)
    end += 1
  }

  /// Records blocks that are written without a checksum.
  mutating func appendUnprovable(_ block: UInt64, _ count: UInt32) {
    append(Entry(block: block, count: count, checksum: 0, isData: false))
    unprovableEnd = end
  }

  /// Records that all writes before a place are durable.
  mutating func markFlushed(before place: UInt64) { flushed = max(flushed, min(place, end)) }

  /// Whether the block of an entry has been written or discarded again since.
  func isOutdated(_ place: UInt64) -> Bool {
    let block = self[place].block
    var later = place + 1
    while later < end {
      let entry = self[later]
      if block >= entry.block, block - entry.block < UInt64(entry.count) { return true }
      later += 1
    }
    return false
  }
}
