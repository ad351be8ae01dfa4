import NVMeSpec

/// A fixed set of trackers and an intrusive list of the free ones.
///
/// Command identifiers are an index in the low 12 bits and a generation in the high 4, which changes at every
/// use: a duplicate completion has an old generation, and does not match the command that now has the
/// tracker. Memory is allocated for a power of two of them, so that an index from the device needs only a
/// mask; those beyond the pool's size are never in flight.
@usableFromInline
struct TrackerPool: ~Copyable {
  /// The most trackers a pool can have: identifier FFFFh is never used (NVM Express Base, 3.3.3.1).
  static let maximumCount = (1 << indexBits) - 1
  @usableFromInline static var indexBits: Int { 12 }
  /// The step from an identifier to its next generation.
  @usableFromInline static var generationStep: UInt32 { 1 &<< UInt32(indexBits) }

  /// How many trackers there are.
  let count: Int
  @usableFromInline let trackers: UnsafeMutablePointer<Tracker>
  /// Masks the index of a tracker out of a command identifier.
  @usableFromInline let indexMask: UInt32
  @usableFromInline var firstFree: UInt32

  /// Makes `count` free trackers, at least 1 and at most `maximumCount`.
  init(count: Int) {
    let count = min(max(count, 1), Self.maximumCount)
    self.count = count
    var room = 1
    while room < count { room *= 2 }
    indexMask = UInt32(truncatingIfNeeded: room - 1)
    trackers = .allocate(capacity: room)
    for index in 0..<room {
      var tracker = Tracker()
      tracker.commandID = UInt16(truncatingIfNeeded: index)
      tracker.next = index + 1 < count ? UInt32(truncatingIfNeeded: index + 1) : Tracker.none
      (trackers + index).initialize(to: tracker)
    }
    firstFree = 0
  }

  @inlinable
  deinit { trackers.deallocate() }

  /// How many are not free. Walks the free list, so it is too slow to call for every command.
  var inUse: Int {
    var free = 0
    var index = firstFree
    while index != Tracker.none {
      free += 1
      index = trackers[Int(index)].next
    }
    return count - free
  }

  /// Whether no tracker is free.
  var isExhausted: Bool {
    @inline(__always) get { firstFree == Tracker.none }
  }

  /// The tracker at `index`, which must be below `count`.
  @inline(__always)
  subscript(index: Int) -> UnsafeMutablePointer<Tracker> { trackers + index }

  /// The index of the tracker that `commandID` belongs to.
  @inlinable @inline(__always)
  func index(of commandID: UInt16) -> Int { Int(UInt32(commandID) & indexMask) }

  /// Takes a free tracker and marks it in flight; nil when there is none.
  @inlinable @inline(__always)
  mutating func take() -> UnsafeMutablePointer<Tracker>? {
    // Only `none` has the highest bit.
    guard Int32(bitPattern: firstFree) >= 0 else { return nil }
    let tracker = trackers + Int(firstFree)
    firstFree = tracker.pointee.next
    tracker.pointee.identity = Tracker.identity(tracker.pointee.commandID, .inFlight)
    return tracker
  }

  /// The tracker of a command in flight, by an identifier that the controller supplied; nil when no command
  /// in flight has it.
  @inline(__always)
  func inFlight(_ commandID: UInt16) -> UnsafeMutablePointer<Tracker>? {
    let tracker = trackers + index(of: commandID)
    return tracker.pointee.identity == Tracker.identity(commandID, .inFlight) ? tracker : nil
  }

  /// Frees a tracker, with the next generation of its identifier.
  @inline(__always)
  mutating func give(_ tracker: UnsafeMutablePointer<Tracker>) {
    let commandID = UInt32(tracker.pointee.commandID)
    Self.free(tracker, commandID, before: firstFree)
    firstFree = commandID & indexMask
  }

  /// Marks the tracker of a command as free, with another after it in the list.
  @inlinable @inline(__always)
  static func free(_ tracker: UnsafeMutablePointer<Tracker>, _ commandID: UInt32, before next: UInt32) {
    // One addition: the carry of the generation into the upper half lies below the state bits, and is
    // ignored.
    tracker.pointee.identity = commandID &+ (generationStep | Tracker.identity(0, .free))
    tracker.pointee.next = next
    tracker.pointee.history = Tracker.History()
  }

  /// Gives a tracker that is submitted again a new generation, so that a late completion of the former
  /// submission is not taken for this one's.
  func renew(_ tracker: UnsafeMutablePointer<Tracker>) {
    tracker.pointee.commandID &+= UInt16(truncatingIfNeeded: Self.generationStep)
  }
}
