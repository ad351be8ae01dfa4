import NVMeSpec

/// A fixed set of trackers and an intrusive list of the free ones.
///
/// Command identifiers are an index in the low 12 bits and a generation in the high 4, which changes at every
/// use: a completion that comes twice names a generation that is over, and is told apart from the command that
/// now has the tracker.
@usableFromInline
struct TrackerPool: ~Copyable {
  /// The most trackers a pool can have: identifier FFFFh is never used (NVM Express Base, 3.3.3.1).
  static let maximumCount = (1 << indexBits) - 1
  private static let indexBits = 12
  private static let generationStep = UInt16(1 << indexBits)
  @inlinable
  static var indexMask: UInt16 { 0xfff }

  /// How many trackers there are.
  let count: Int
  @usableFromInline let trackers: UnsafeMutablePointer<Tracker>
  @usableFromInline var firstFree: UInt16

  /// Makes `count` free trackers, at least 1 and at most `maximumCount`.
  init(count: Int) {
    let count = min(max(count, 1), Self.maximumCount)
    self.count = count
    trackers = .allocate(capacity: count)
    for index in 0..<count {
      var tracker = Tracker()
      tracker.commandID = UInt16(truncatingIfNeeded: index)
      tracker.next = index + 1 < count ? UInt16(truncatingIfNeeded: index + 1) : Tracker.none
      (trackers + index).initialize(to: tracker)
    }
    firstFree = 0
  }

  @inlinable
  deinit { trackers.deallocate() }

  /// Whether no tracker is free.
  var isExhausted: Bool {
    @inline(__always) get { firstFree == Tracker.none }
  }

  /// The tracker at `index`, which must be below `count`.
  @inline(__always)
  subscript(index: Int) -> UnsafeMutablePointer<Tracker> { trackers + index }

  /// The index of the tracker that `commandID` belongs to.
  @inlinable @inline(__always)
  static func index(of commandID: UInt16) -> Int { Int(commandID & indexMask) }

  /// Takes a free tracker and marks it in flight; nil when there is none.
  @inlinable @inline(__always)
  mutating func take() -> UnsafeMutablePointer<Tracker>? {
    guard firstFree != Tracker.none else { return nil }
    let tracker = trackers + Int(firstFree)
    firstFree = tracker.pointee.next
    tracker.pointee.state = .inFlight
    return tracker
  }

  /// The tracker of a command in flight, by an identifier that the controller supplied; nil when no command in
  /// flight has it.
  @inline(__always)
  func inFlight(_ commandID: UInt16) -> UnsafeMutablePointer<Tracker>? {
    let index = Self.index(of: commandID)
    guard index < count else { return nil }
    let tracker = trackers + index
    guard tracker.pointee.commandID == commandID, tracker.pointee.state == .inFlight else { return nil }
    return tracker
  }

  /// Puts a tracker back, ready for another command under the next generation of its identifier.
  @inline(__always)
  mutating func give(_ tracker: UnsafeMutablePointer<Tracker>) {
    let index = tracker.pointee.commandID & Self.indexMask
    tracker.pointee.commandID &+= Self.generationStep
    tracker.pointee.history = Tracker.History()
    tracker.pointee.state = .free
    tracker.pointee.next = firstFree
    firstFree = index
  }

  /// Gives a tracker that is submitted again a new generation, so that a late completion of the former
  /// submission is not taken for this one's.
  func renew(_ tracker: UnsafeMutablePointer<Tracker>) {
    tracker.pointee.commandID &+= Self.generationStep
  }
}
