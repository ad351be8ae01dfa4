import Format

/// What the filesystem keeps in memory of an inode in use: the kernel knows it, or pages of it are cached.
struct InodeState {
  var number: UInt64 = 0
  var generation: UInt32 = 0
  /// The directory by which the kernel came here last, and the hash of the name there; 0 where that is not known.
  var parent: UInt64 = 0
  var nameHash: UInt64 = 0
  /// Lookups the kernel has not forgotten.
  var lookups: UInt64 = 0
  /// Cached data pages that are dirty.
  var dirty = FrameList()
  /// Cached data pages that are clean or being written.
  var clean = FrameList()
  /// No clean page lies at this block or behind it; `.max` when that is not known.
  var cleanEnd = UInt64.max
  /// The walk that drops clean pages in steps, 0 for none, and how many of them it has not looked at.
  var cutWalk: UInt64 = 0
  var cutLeft = 0
  /// The size that the log knows, in bytes: it follows `Inode.size` when pages are written out.
  var loggedSize: UInt64 = 0
  /// Data or times changed since the log was told.
  var hasUnloggedWrites = false
  /// In the list of inodes with something to commit.
  var isListed = false
  /// The file was cut to nothing or replaced another: its data goes out when it is closed or renamed.
  var commitsOnClose = false
  /// The commit that came to it last, and how many pages that still has to write.
  var commitNumber: UInt64 = 0
  var commitShare = 0
  /// The last name is gone, but the kernel still knows the inode.
  var isOrphan = false
  /// Something written to it had to be given up.
  var hasLostWrites = false
  /// The bytes that were stored to mapped memory and could not be written back, and why; empty when there are none.
  var lostFrom: UInt64 = 0
  var lostTo: UInt64 = 0
  var lostError: Int32 = 0
  /// Pages of it may lie in the kernel's cache.
  var mayBeCached = false
  /// Direct writes since something came through the kernel's cache.
  var directWrites: UInt8 = 0
  /// How often the kernel is still to be told attributes that it must ask for again.
  var doubtfulAnswers: UInt8 = 0

  var isUsed: Bool {
    lookups > 0 || dirty.count > 0 || clean.count > 0 || hasUnloggedWrites || isListed || commitsOnClose
  }
}

/// States by inode number: slots in an array, found through a hash of open addressing.
final class InodeStates {
  private(set) var slots: UnsafeMutablePointer<InodeState>
  private var capacity: Int
  private var free: [Int32] = []
  private var table: [Int32]
  private(set) var count = 0

  init() {
    capacity = 1024
    slots = .allocate(capacity: capacity)
    slots.initialize(repeating: InodeState(), count: capacity)
    table = Array(repeating: -1, count: capacity * 2)
    free = (0..<Int32(capacity)).reversed()
  }

  deinit { slots.deallocate() }

  @inline(__always)
  private func home(_ number: UInt64) -> Int {
    Int(truncatingIfNeeded: (number &* 0x9E37_79B9_7F4A_7C15) >> 20) & (table.count - 1)
  }

  /// The slot of an inode, nil when nothing is known of it.
  func find(_ number: UInt64) -> Int? {
    var at = home(number)
    while table[at] >= 0 {
      if slots[Int(table[at])].number == number { return Int(table[at]) }
      at = (at + 1) & (table.count - 1)
    }
    return nil
  }

  /// The slot of an inode, made when there is none.
  func obtain(_ id: NodeID) -> Int {
    if let slot = find(id.number) { return slot }
    if free.isEmpty { grow() }
    let slot = free.removeLast()
    slots[Int(slot)] = InodeState()
    slots[Int(slot)].number = id.number
    slots[Int(slot)].generation = id.generation
    place(slot)
    count += 1
    return Int(slot)
  }

  /// Forgets an inode that is not in use any more.
  func releaseIfUnused(_ slot: Int) {
    guard !slots[slot].isUsed else { return }
    var at = home(slots[slot].number)
    while table[at] != Int32(slot) { at = (at + 1) & (table.count - 1) }
    removeAt(at)
    slots[slot] = InodeState()
    free.append(Int32(slot))
    count -= 1
  }

  private func place(_ slot: Int32) {
    var at = home(slots[Int(slot)].number)
    while table[at] >= 0 { at = (at + 1) & (table.count - 1) }
    table[at] = slot
  }

  /// Closes the gap that a removed entry leaves in its run.
  private func removeAt(_ position: Int) {
    var hole = position
    var at = (hole + 1) & (table.count - 1)
    while table[at] >= 0 {
      let wanted = home(slots[Int(table[at])].number)
      if (at &- wanted) & (table.count - 1) >= (at &- hole) & (table.count - 1) {
        table[hole] = table[at]
        hole = at
      }
      at = (at + 1) & (table.count - 1)
    }
    table[hole] = -1
  }

  private func grow() {
    let larger = UnsafeMutablePointer<InodeState>.allocate(capacity: capacity * 2)
    larger.moveInitialize(from: slots, count: capacity)
    (larger + capacity).initialize(repeating: InodeState(), count: capacity)
    slots.deallocate()
    slots = larger
    free = (Int32(capacity)..<Int32(capacity * 2)).reversed()
    table = Array(repeating: -1, count: capacity * 4)
    for slot in 0..<Int32(capacity) { place(slot) }
    capacity *= 2
  }
}
