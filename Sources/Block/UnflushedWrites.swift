/// What was written to a namespace and is not known to be durable, with the last few blocks that are: a
/// checksum for each 4 KiB block, in the order in which the writes ended.
///
/// Places in that order are counted from 0 and never come back. The entries are a ring, of which the system
/// gives memory only as far as it is used.
struct UnflushedWrites: ~Copyable {
  struct Entry {
    /// The first 4 KiB block.
    var block: UInt64
    /// How many blocks.
    var count: UInt32
    /// The CRC-32C of a written block, with `BlockQueue.checksum`; of no meaning where `isData` is false.
    var checksum: UInt32
    /// Whether one block was written; otherwise nothing is known of what the blocks hold: they were
    /// discarded.
    var isData: Bool
  }

  /// The most entries: of writes, 1 GiB.
  static let capacity: UInt64 = 1 << 18
  /// How many entries that are durable are kept, to see whether a device still holds what it had made so.
  static let witnesses: UInt64 = 64

  /// The end of the order.
  private(set) var end: UInt64 = 0
  /// What lies before is durable.
  private(set) var flushed: UInt64 = 0
  /// What was written before, in a way that leaves no checksum, can be proved only once it is durable.
  private var unprovableEnd: UInt64 = 0
  private let entries: UnsafeMutablePointer<Entry>

  init() { entries = .allocate(capacity: Int(Self.capacity)) }

  deinit { entries.deallocate() }

  /// The entry at a place that is at least `first`.
  subscript(place: UInt64) -> Entry { entries[Int(place % Self.capacity)] }

  /// Whether a flush should come before the ring is full.
  var needsFlush: Bool { end - flushed >= Self.capacity / 2 }

  /// Whether all that is not durable has an entry.
  var isComplete: Bool { end - flushed <= Self.capacity && unprovableEnd <= flushed }

  /// The first place that a proof looks at.
  var first: UInt64 {
    let oldest = end > Self.capacity ? end - Self.capacity : 0
    return max(oldest, flushed > Self.witnesses ? flushed - Self.witnesses : 0)
  }

  mutating func append(_ entry: Entry) {
    (entries + Int(end % Self.capacity)).initialize(to: entry)
    end += 1
  }

  /// Blocks are being written whose contents are not recorded.
  mutating func appendUnprovable(_ block: UInt64, _ count: UInt32) {
    append(Entry(block: block, count: count, checksum: 0, isData: false))
    unprovableEnd = end
  }

  /// What ended before a place is durable.
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
