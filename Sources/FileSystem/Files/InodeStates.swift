import Format

/// What is kept in memory for an inode that is in use: the kernel has looked it up, pages of it are cached,
/// or changes of it are not in the log. `pages` and `lost` are written by `Pages`, `log` by `Uncommitted`,
/// `kernel` by `Operations`, and by `Changes`, `Freeing` and `FileSystem.forget` where names and lookups go.
struct InodeState {
  fileprivate(set) var id = NodeID(raw: 0)
  /// What the kernel has looked up and may have cached: written by `Operations` and, for lookups and orphans,
  /// by `Changes`, `Freeing` and `FileSystem.forget`.
  var kernel = KernelView()
  /// Its cached pages: written by `Pages`.
  var pages = FilePages()
  /// Its changes that the log does not hold: written by `Uncommitted`.
  var log = LogView()
  /// Its writes that were lost: written by `Pages`.
  var lost = LostWrites()

  var number: UInt64 { id.number }

  /// Whether the kernel may be asked to forget it.
  var mayBeForgotten: Bool { kernel.lookups > 0 && !log.isPending && id != .root }

  var isUsed: Bool { kernel.lookups > 0 || !pages.isEmpty || log.isPending }
}

/// States by inode number: places in an array, found through a hash of open addressing.
///
/// Owns the array and the hash table, not the contents of the states. A place is valid until the state in it
/// is released. An address is valid only until the next `obtain`, which may move the array; `Pages` and
/// `Operations` obtain.
final class InodeStates {
  private var places: UnsafeMutablePointer<InodeState>
  private var capacity: Int
  private var free: [Int32] = []
  private var table: [Int32]
  private(set) var count = 0
  /// How many of them the kernel has looked up and not forgotten.
  private(set) var known = 0
  /// The place at which `takeOld` goes on.
  private var hand = 0
  /// How many places one `takeOld` looks at.
  private static let looks = 4096

  init() {
    capacity = 1024
    places = .allocate(capacity: capacity)
    places.initialize(repeating: InodeState(), count: capacity)
    table = Array(repeating: -1, count: capacity * 2)
    free = (0..<Int32(capacity)).reversed()
  }

  deinit { places.deallocate() }

  /// The state at a place.
  @inline(__always)
  subscript(place: Int) -> InodeState {
    unsafeAddress { UnsafePointer(places + place) }
    unsafeMutableAddress { places + place }
  }

  /// Calls `body` with the place of each state.
  func forEach(_ body: (Int) -> Void) {
    for place in table where place >= 0 { body(Int(place)) }
  }

  @inline(__always)
  private func home(_ number: UInt64) -> Int {
    Int(truncatingIfNeeded: (number &* 0x9E37_79B9_7F4A_7C15) >> 20) & (table.count - 1)
  }

  /// The place of an inode's state, nil when there is none.
  func find(_ number: UInt64) -> Int? {
    var at = home(number)
    while table[at] >= 0 {
      if places[Int(table[at])].number == number { return Int(table[at]) }
      at = (at + 1) & (table.count - 1)
    }
    return nil
  }

  /// The place of an inode's state, made when there is none.
  /// - Parameter size: the inode's size in bytes, which the log knows.
  func obtain(_ id: NodeID, size: UInt64) -> Int {
    if let slot = find(id.number) {
      places[slot].id = id
      return slot
    }
    if free.isEmpty { grow() }
    let slot = free.removeLast()
    places[Int(slot)] = InodeState()
    places[Int(slot)].id = id
    places[Int(slot)].log.setLoggedSize(size)
    place(slot)
    count += 1
    return Int(slot)
  }

  /// The place of the state of an inode in memory, made when there is none.
  @inline(__always)
  func obtain(_ inode: Inode) -> Int { obtain(inode.id, size: inode.size) }

  /// Removes the state of an inode that is no longer in use.
  func releaseIfUnused(_ slot: Int) {
    guard !places[slot].isUsed else { return }
    var at = home(places[slot].number)
    while table[at] != Int32(slot) { at = (at + 1) & (table.count - 1) }
    removeAt(at)
    places[slot] = InodeState()
    free.append(Int32(slot))
    count -= 1
  }

  /// A reply gives the kernel one more lookup, by the name with `hash` in directory `parent`.
  func look(_ place: Int, in parent: UInt64, hash: UInt64) {
    if places[place].kernel.lookups == 0 { known += 1 }
    places[place].kernel.look(in: parent, hash: hash)
  }

  /// The kernel gives back lookups.
  /// - Returns: whether it knows the inode no longer.
  func forget(_ place: Int, _ count: UInt64) -> Bool {
    guard places[place].kernel.lookups > 0 else { return true }
    places[place].kernel.forget(count)
    guard places[place].kernel.lookups == 0 else { return false }
    known -= 1
    return true
  }

  /// Finds inodes that the kernel may be asked to forget. It goes round the places, which are filled in order,
  /// so that it finds those first that the kernel has known longest.
  func takeOld(_ nodes: UnsafeMutableBufferPointer<UInt64>) -> Int {
    var found = 0
    var looks = 0
    while found < nodes.count, looks < min(Self.looks, capacity) {
      let state = places + hand
      hand = (hand + 1) & (capacity - 1)
      looks += 1
      guard state.pointee.mayBeForgotten else { continue }
      nodes[found] = state.pointee.id.raw
      found += 1
    }
    return found
  }

  func checkInvariants(_ invariants: inout Invariants) {
    var (used, looked) = (0, 0)
    forEach { place in
      used += 1
      if places[place].kernel.lookups > 0 { looked += 1 }
    }
    invariants.expect("states of inodes", used, equals: count)
    invariants.expect("inodes that the kernel knows", looked, equals: known)
  }

  private func place(_ slot: Int32) {
    var at = home(places[Int(slot)].number)
    while table[at] >= 0 { at = (at + 1) & (table.count - 1) }
    table[at] = slot
  }

  /// Closes the gap that a removed entry leaves in its run.
  private func removeAt(_ position: Int) {
    var hole = position
    var at = (hole + 1) & (table.count - 1)
    while table[at] >= 0 {
      let wanted = home(places[Int(table[at])].number)
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
    larger.moveInitialize(from: places, count: capacity)
    (larger + capacity).initialize(repeating: InodeState(), count: capacity)
    places.deallocate()
    places = larger
    free = (Int32(capacity)..<Int32(capacity * 2)).reversed()
    table = Array(repeating: -1, count: capacity * 4)
    for slot in 0..<Int32(capacity) { place(slot) }
    capacity *= 2
  }
}
