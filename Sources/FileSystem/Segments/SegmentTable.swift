import Format

/// What each segment holds, now and as of the checkpoint under way; which segments are free, and which will
/// be.
///
/// A segment's way: *free* → taken by a head, *open* → left by it, used → nothing in it is live any more,
/// *empty* → a checkpoint finds it empty → the next one finds it empty too and writes it into its usage table
/// as free → that checkpoint is durable, *released* → discarded, and free.
///
/// So nothing is written into a segment that either of the last two checkpoints can reach, and a mount finds
/// free what was free at the moment of a crash, but for what the log has taken since.
///
/// Owns all of that, the number of the checkpoint in whose time things are written now, and the discards
/// under way. It promises that a segment is given out once, that no count goes below zero
/// (`onContradiction`), and that no segment is free while a checkpoint that may be needed reaches into it.
final class SegmentTable {
  private(set) var geometry: Geometry
  private(set) var count: Int
  /// Called when a count contradicts what is done, with the reason.
  var onContradiction: (String) -> Void = { _ in }
  /// Blocks reachable now.
  private var live: UnsafeMutablePointer<UInt32>
  /// Blocks reachable as of the cut, where `changedAt` says that they differ from those reachable now.
  private var liveAtCut: UnsafeMutablePointer<UInt32>
  private var changedAt: UnsafeMutablePointer<UInt32>
  /// The checkpoint in whose time things are written now: one more than that of the last cut.
  private(set) var age: UInt64 = 1
  private var cutNumber: UInt32 = 1
  private var states: UnsafeMutablePointer<UsageEntry.State>
  /// The checkpoint in whose time a segment was last written.
  private var ages: UnsafeMutablePointer<UInt64>
  /// The checkpoint that first found a segment empty; 0 for none.
  private var emptySince: UnsafeMutablePointer<UInt64>
  private var flags: UnsafeMutablePointer<Flags>
  /// Usage blocks that differ from what the last checkpoint wrote.
  private(set) var dirtyBlocks: [Bool]
  /// Blocks reachable now, in all segments.
  private(set) var liveTotal: UInt64 = 0
  private var free: SegmentSet
  /// Segments that may have nothing live in them; those that no longer do are passed over.
  private var empties: [UInt32] = []
  /// Those of them that the checkpoint under way has looked at already.
  private var settled: [UInt32] = []
  /// Segments that the checkpoint under way writes as free.
  private var releasing: [UInt32] = []
  /// Segments that no durable checkpoint needs, to be discarded and freed.
  private var released: [UInt32] = []

  private struct Flags: OptionSet {
    let rawValue: UInt8
    /// A head writes into the segment, or will next; or it is being discarded.
    static let open = Flags(rawValue: 1)
    /// In `empties`.
    static let listed = Flags(rawValue: 2)
    /// In `releasing` or `released`.
    static let releasing = Flags(rawValue: 4)
  }

  /// Usage blocks that were read at the mount.
  private var loadedBlocks = 0
  /// Segments that are being discarded.
  private(set) var discarding = 0
  /// How many blocks were live when nothing at all could be cleaned, as far as the last checkpoint shows.
  private var exhaustedAt: UInt64?

  /// A table without segments; `begin` gives it some.
  init() {
    geometry = .none
    count = 0
    live = .allocate(capacity: 1)
    liveAtCut = .allocate(capacity: 1)
    changedAt = .allocate(capacity: 1)
    states = .allocate(capacity: 1)
    ages = .allocate(capacity: 1)
    emptySince = .allocate(capacity: 1)
    flags = .allocate(capacity: 1)
    dirtyBlocks = []
    free = SegmentSet(capacity: 1)
  }

  convenience init(geometry: Geometry) {
    self.init()
    begin(geometry: geometry)
  }

  deinit { deallocate() }

  private func deallocate() {
    live.deallocate()
    liveAtCut.deallocate()
    changedAt.deallocate()
    states.deallocate()
    ages.deallocate()
    emptySince.deallocate()
    flags.deallocate()
  }

  /// The geometry is known: all segments are free, until the usage table says otherwise.
  func begin(geometry: Geometry) {
    deallocate()
    self.geometry = geometry
    count = Int(geometry.segmentCount)
    live = .allocate(capacity: count)
    live.initialize(repeating: 0, count: count)
    liveAtCut = .allocate(capacity: count)
    liveAtCut.initialize(repeating: 0, count: count)
    changedAt = .allocate(capacity: count)
    changedAt.initialize(repeating: 0, count: count)
    states = .allocate(capacity: count)
    states.initialize(repeating: .free, count: count)
    ages = .allocate(capacity: count)
    ages.initialize(repeating: 0, count: count)
    emptySince = .allocate(capacity: count)
    emptySince.initialize(repeating: 0, count: count)
    flags = .allocate(capacity: count)
    flags.initialize(repeating: [], count: count)
    dirtyBlocks = Array(repeating: false, count: Int(geometry.usageBlocks))
    free = SegmentSet(capacity: count)
  }

  // MARK: On disk

  /// Takes over one usage block as read from disk.
  func load(_ page: Page, block: Int) {
    loadedBlocks += 1
    let perBlock = Int(Geometry.usagePerBlock)
    for index in 0..<min(perBlock, count - block * perBlock) {
      let entry = UsageEntry(page, index: index)
      let segment = block * perBlock + index
      live[segment] = min(entry.live, geometry.segmentBlocks)
      // Where something lives nothing may be written, whatever the state says.
      states[segment] = live[segment] > 0 ? .used : entry.state
      // One that is said to be written later would never come free, however many checkpoints were made for
      // that.
      ages[segment] = min(entry.age, age)
      liveTotal += UInt64(live[segment])
      if states[segment] == .free { free.insert(segment) } else { listIfEmpty(segment) }
    }
  }

  /// Writes one usage block as of the cut. It still differs when a block came or went since.
  func store(_ page: Page, block: Int) {
    page.clear()
    dirtyBlocks[block] = false
    let perBlock = Int(Geometry.usagePerBlock)
    for index in 0..<min(perBlock, count - block * perBlock) {
      let segment = block * perBlock + index
      let isReleased = flags[segment].contains(.releasing)
      let state: UsageEntry.State = isReleased ? .free : states[segment]
      UsageEntry(live: blocksAtCut(segment), state: state, age: ages[segment]).store(page, index: index)
      if live[segment] != blocksAtCut(segment) { dirtyBlocks[block] = true }
    }
  }

  @inline(__always)
  private func touch(_ segment: Int) { dirtyBlocks[segment / Int(Geometry.usagePerBlock)] = true }

  // MARK: Live blocks

  /// A block became reachable.
  @inline(__always)
  func add(_ block: UInt64) {
    guard let segment = geometry.segment(of: block) else { return }
    keepCut(Int(segment))
    live[Int(segment)] &+= 1
    liveTotal &+= 1
    touch(Int(segment))
  }

  /// A block is not reachable any more.
  @inline(__always)
  func remove(_ block: UInt64) {
    guard let segment = geometry.segment(of: block) else { return }
    guard live[Int(segment)] > 0 else {
      return onContradiction("the number of live blocks of segment \(segment)")
    }
    keepCut(Int(segment))
    live[Int(segment)] -= 1
    liveTotal -= 1
    touch(Int(segment))
    if live[Int(segment)] == 0 { listIfEmpty(Int(segment)) }
  }

  /// The count of a segment is about to change: what it was at the cut is kept.
  @inline(__always)
  private func keepCut(_ segment: Int) {
    guard changedAt[segment] != cutNumber else { return }
    changedAt[segment] = cutNumber
    liveAtCut[segment] = live[segment]
  }

  private func blocksAtCut(_ segment: Int) -> UInt32 {
    changedAt[segment] == cutNumber ? liveAtCut[segment] : live[segment]
  }

  /// The checkpoint under way writes a block anew: it moves now and as of the cut.
  func moveAtCut(from old: UInt64, to new: UInt64) {
    add(new)
    if let segment = geometry.segment(of: new) { liveAtCut[Int(segment)] &+= 1 }
    guard old != 0, let segment = geometry.segment(of: old) else { return }
    keepCut(Int(segment))
    remove(old)
    guard liveAtCut[Int(segment)] > 0 else {
      return onContradiction("the number of live blocks of segment \(segment) at the cut")
    }
    liveAtCut[Int(segment)] -= 1
  }

  /// The checkpoint under way, whose cut was made last.
  var checkpointUnderWay: UInt64 { age - 1 }

  /// After a mount: the last durable checkpoint.
  func begin(after checkpoint: UInt64) { age = checkpoint + 1 }

  /// A cut: from here on `store` shows the counts of this moment.
  func cut() {
    cutNumber &+= 1
    age += 1
  }

  /// The checkpoint under way is never finished: the next has its number.
  func abandonCut() { age -= 1 }

  func liveBlocks(_ segment: Int) -> UInt32 { live[segment] }
  func age(of segment: Int) -> UInt64 { ages[segment] }
  func isUsed(_ segment: Int) -> Bool { states[segment] == .used }
  func isOpen(_ segment: Int) -> Bool { flags[segment].contains(.open) }

  // MARK: Taking segments

  /// Segments that may be taken.
  var freeCount: Int { free.count }

  /// Takes a free segment for a head to write into. It is the lowest: a sparse image stays small, and what
  /// was just given back is used again.
  /// - Parameter checkpoint: the checkpoint in whose time it will be written; that of now by default.
  func take(for checkpoint: UInt64? = nil) -> UInt32? {
    guard let segment = free.first else { return nil }
    claim(UInt32(segment), for: checkpoint ?? age)
    flags[segment].insert(.open)
    return UInt32(segment)
  }

  private func claim(_ segment: UInt32, for age: UInt64) {
    let index = Int(segment)
    free.remove(index)
    states[index] = .used
    ages[index] = age
    emptySince[index] = 0
    touch(index)
    listIfEmpty(index)
  }

  /// A head goes on in a segment that it had before the mount.
  func reopen(_ segment: UInt32) {
    claim(segment, for: age)
    flags[Int(segment)].insert(.open)
  }

  /// The head that wrote into the segment has left it.
  func close(_ segment: UInt32) {
    flags[Int(segment)].remove(.open)
    listIfEmpty(Int(segment))
  }

  /// The segment was written in the time of a checkpoint; that of now by default.
  @inline(__always)
  func wrote(_ segment: UInt32, for checkpoint: UInt64? = nil) {
    let age = checkpoint ?? age
    if ages[Int(segment)] != age {
      ages[Int(segment)] = age
      touch(Int(segment))
    }
    emptySince[Int(segment)] = 0
  }

  // MARK: Releasing segments

  private func isEmpty(_ segment: Int) -> Bool {
    states[segment] == .used && live[segment] == 0 && flags[segment].isDisjoint(with: [.open, .releasing])
  }

  private func listIfEmpty(_ segment: Int) {
    guard isEmpty(segment), !flags[segment].contains(.listed) else { return }
    flags[segment].insert(.listed)
    empties.append(UInt32(segment))
  }

  /// Whether a checkpoint or two would free segments.
  var hasEmptySegments: Bool {
    while let segment = empties.last {
      if isEmpty(Int(segment)) { return true }
      empties.removeLast()
      flags[Int(segment)].remove(.listed)
    }
    return !settled.isEmpty
  }

  /// Segments that one call of `settle` looks at.
  private static let segmentsPerStep = 4096

  /// Checkpoint `sequence` has written all it refers to but its usage table: notes the segments that it
  /// leaves empty. Those that the checkpoint before left empty too are written as free, and are free once it
  /// is durable.
  ///
  /// Segments written in the time of this checkpoint or later stay: the log since the checkpoint before is
  /// kept.
  /// - Returns: whether all were looked at; otherwise to be called again.
  func settle(_ sequence: UInt64) -> Bool {
    for _ in 0..<Self.segmentsPerStep {
      guard let segment = empties.popLast() else {
        swap(&empties, &settled)
        return true
      }
      settle(segment, sequence)
    }
    return false
  }

  private func settle(_ segment: UInt32, _ sequence: UInt64) {
    let index = Int(segment)
    flags[index].remove(.listed)
    guard isEmpty(index) else { return }
    if blocksAtCut(index) == 0, ages[index] < sequence {
      if emptySince[index] != 0, emptySince[index] < sequence {
        flags[index].insert(.releasing)
        releasing.append(segment)
        return touch(index)
      }
      if emptySince[index] == 0 { emptySince[index] = sequence }
    }
    flags[index].insert(.listed)
    settled.append(segment)
  }

  /// The checkpoint that was settled is durable.
  func release() {
    released.append(contentsOf: releasing)
    releasing.removeAll(keepingCapacity: true)
  }

  /// Takes a released segment, to be discarded and freed.
  func nextReleased() -> UInt32? { released.popLast() }

  var hasReleased: Bool { !released.isEmpty }

  /// A released segment is being discarded.
  func beginDiscard() { discarding += 1 }

  /// A discard is a hint: when it fails the segment is free all the same.
  func endDiscard(_ segment: UInt32) {
    assert(discarding > 0)
    discarding -= 1
    free(segment)
  }

  /// The cleaner found nothing at all to clean.
  func setExhausted() { exhaustedAt = liveTotal }

  /// A checkpoint is durable: what it freed can be seen.
  func clearExhausted() { exhaustedAt = nil }

  /// Whether there was nothing to clean when that was last looked at, and nothing was freed since.
  var isExhausted: Bool {
    guard let live = exhaustedAt else { return false }
    return liveTotal >= live && !hasEmptySegments && !hasReleased && discarding == 0
  }

  /// Segments that are empty in the only checkpoint there is need not wait for others.
  func releaseEmpties() {
    for segment in empties {
      flags[Int(segment)].remove(.listed)
      if isEmpty(Int(segment)) { free(segment) }
    }
    empties.removeAll()
  }

  /// A released segment may be written.
  func free(_ segment: UInt32) {
    let index = Int(segment)
    guard states[index] == .used else { return }
    states[index] = .free
    flags[index] = []
    emptySince[index] = 0
    free.insert(index)
    touch(index)
  }

  // MARK: Invariants

  func checkInvariants(_ invariants: inout Invariants) {
    guard loadedBlocks == dirtyBlocks.count else { return }
    var total: UInt64 = 0
    var freeSegments = 0
    var listed = 0
    for segment in 0..<count {
      total += UInt64(live[segment])
      invariants.expect(
        live[segment] <= geometry.segmentBlocks, "segment \(segment) has \(live[segment]) live blocks")
      if states[segment] == .free {
        freeSegments += 1
        invariants.expect(
          live[segment] == 0 && flags[segment].isEmpty && free.contains(segment),
          "segment \(segment) is not free")
      }
      if isEmpty(segment) {
        invariants.expect(
          flags[segment].contains(.listed), "segment \(segment) is empty and will never come free")
      }
      if flags[segment].contains(.listed) { listed += 1 }
    }
    invariants.expect("segments that may be empty", listed, equals: empties.count + settled.count)
    invariants.expect("live blocks", total, equals: liveTotal)
    invariants.expect("free segments", freeSegments, equals: freeCount)
    let leaving = releasing + released
    invariants.expect("segments to be released, each once", Set(leaving).count, equals: leaving.count)
    invariants.expect(
      leaving.allSatisfy { live[Int($0)] == 0 && !flags[Int($0)].contains(.open) },
      "a segment in use is released")
  }
}
