import Format

/// The usage table in memory: how many live blocks each segment holds, now and as of the cut of the
/// checkpoint under way, and which segments are free or will be.
///
/// The states of a segment:
///
///     free ─take─▶ open ─close─▶ used ─no live block left─▶ empty ─settle─▶ found empty by a checkpoint
///      ▲     (a head writes it)                                                  │ settle of a later one,
///      │                                                                         ▼ which writes it as free
///      └──free, endDiscard── being discarded ◀──nextReleased── released ◀──release── releasing
///
/// So no segment is written that either of the last two checkpoints refers to, and a mount after a crash
/// finds every segment free that was free at the crash.
///
/// Owns all of that, the number of the current age (below), and the number of discards under way. It promises
/// that a segment is taken at most once until it is free again, that no count goes below zero
/// (`onContradiction`), and that no segment is free to which a checkpoint refers that may still be mounted.
///
/// Ages: everything written between the cuts of checkpoints n-1 and n has age n, since checkpoint n is the
/// first to refer to it. So have the nodes that checkpoint n writes after its cut.
final class SegmentTable {
  private(set) var geometry: Geometry
  private(set) var count: Int
  /// Called with the reason when a count turns out to be wrong.
  var onContradiction: (String) -> Void = { _ in }
  /// Live blocks of each segment now.
  private var live: UnsafeMutablePointer<UInt32>
  /// Live blocks of each segment as of the cut: valid where `changedAt` is `cutNumber`; elsewhere as now.
  private var liveAtCut: UnsafeMutablePointer<UInt32>
  private var changedAt: UnsafeMutablePointer<UInt32>
  /// The age of what is written now: the number of the next checkpoint to be cut.
  private(set) var age: UInt64 = 1
  private var cutNumber: UInt32 = 1
  private var states: UnsafeMutablePointer<UsageEntry.State>
  /// The age of what was last written into a segment.
  private var ages: UnsafeMutablePointer<UInt64>
  /// The checkpoint that first found a segment empty; 0 for none.
  private var emptySince: UnsafeMutablePointer<UInt64>
  private var flags: UnsafeMutablePointer<Flags>
  /// Usage blocks that differ from what the last checkpoint wrote.
  private(set) var dirtyBlocks: [Bool]
  /// Live blocks in all segments now.
  private(set) var liveTotal: UInt64 = 0
  private var free: SegmentSet
  /// Segments that have become empty. Some may no longer be: every use checks again.
  private var empties: [UInt32] = []
  /// Those of them that `settle` has already checked for the checkpoint under way.
  private var settled: [UInt32] = []
  /// Segments that the checkpoint under way writes as free.
  private var releasing: [UInt32] = []
  /// Segments that no checkpoint needs, to be discarded and freed.
  private var released: [UInt32] = []
  /// Segments that the cleaner may take: in use, not open, with live blocks, and not written since the last
  /// durable checkpoint.
  private var victims: VictimIndex
  /// Segments that may become so once a checkpoint is durable.
  private var laterVictims: [UInt32] = []

  private struct Flags: OptionSet {
    let rawValue: UInt8
    /// A head writes into the segment, or will next.
    static let open = Flags(rawValue: 1)
    /// In `empties`.
    static let listed = Flags(rawValue: 2)
    /// In `releasing` or `released`.
    static let releasing = Flags(rawValue: 4)
    /// In `laterVictims`.
    static let laterVictim = Flags(rawValue: 8)
  }

  /// Usage blocks read at the mount.
  private var loadedBlocks = 0
  /// Segments that are being discarded.
  private(set) var discarding = 0
  /// `liveTotal` when the cleaner last found nothing to clean; nil since a later checkpoint became durable.
  private var exhaustedAt: UInt64?

  /// A table without segments, until `begin` is called.
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
    victims = VictimIndex(capacity: 1, segmentBlocks: 1)
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

  /// Sets the geometry. All segments are free until `load` says otherwise.
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
    victims = VictimIndex(capacity: count, segmentBlocks: geometry.segmentBlocks)
  }

  // MARK: On disk

  /// Takes over a usage block read from disk.
  func load(_ page: Page, block: Int) {
    loadedBlocks += 1
    let perBlock = Int(Geometry.usagePerBlock)
    for index in 0..<min(perBlock, count - block * perBlock) {
      let entry = UsageEntry(page, index: index)
      let segment = block * perBlock + index
      live[segment] = min(entry.live, geometry.segmentBlocks)
      // A segment with live blocks must not be written, whatever its state says.
      states[segment] = live[segment] > 0 ? .used : entry.state
      // An age in the future would keep the segment from ever being freed.
      ages[segment] = min(entry.age, age)
      liveTotal += UInt64(live[segment])
      if states[segment] == .free { free.insert(segment) } else { listIfEmpty(segment) }
      if live[segment] > 0 {
        if ages[segment] < age {
          victims.insert(UInt32(segment), live: live[segment], ages: ages)
        } else {
          offerLater(UInt32(segment))
        }
      }
    }
  }

  /// Fills in a usage block as of the cut. It stays dirty if a count in it has changed since.
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

  /// Counts a block that has become live.
  @inline(__always)
  func add(_ block: UInt64) {
    guard let segment = geometry.segment(of: block) else { return }
    keepCut(Int(segment))
    live[Int(segment)] &+= 1
    liveTotal &+= 1
    touch(Int(segment))
    victims.update(segment, live: live[Int(segment)], ages: ages)
  }

  /// Counts a block that is no longer live.
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
    if live[Int(segment)] == 0 {
      victims.remove(segment, ages: ages)
      listIfEmpty(Int(segment))
    } else {
      victims.update(segment, live: live[Int(segment)], ages: ages)
    }
  }

  /// Keeps a segment's count as of the cut, before the count changes.
  @inline(__always)
  private func keepCut(_ segment: Int) {
    guard changedAt[segment] != cutNumber else { return }
    changedAt[segment] = cutNumber
    liveAtCut[segment] = live[segment]
  }

  private func blocksAtCut(_ segment: Int) -> UInt32 {
    changedAt[segment] == cutNumber ? liveAtCut[segment] : live[segment]
  }

  /// Counts a block that the checkpoint under way has written to a new address, both now and as of the cut.
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

  /// The number of the checkpoint under way, whose cut was made last.
  var checkpointUnderWay: UInt64 { age - 1 }

  /// After a mount: begins with the age after the checkpoint that was mounted.
  func begin(after checkpoint: UInt64) { age = checkpoint + 1 }

  /// Makes a cut: from here on `store` fills in the counts of this moment.
  func cut() {
    cutNumber &+= 1
    age += 1
  }

  /// Abandons the checkpoint under way; the next one gets its number.
  func abandonCut() { age -= 1 }

  func liveBlocks(_ segment: Int) -> UInt32 { live[segment] }
  func age(of segment: Int) -> UInt64 { ages[segment] }
  /// How long ago something was written that has this age, in checkpoints.
  func age(since stamp: UInt64) -> Double { Double(age - min(stamp, age)) }
  func isUsed(_ segment: Int) -> Bool { states[segment] == .used }
  func isOpen(_ segment: Int) -> Bool { flags[segment].contains(.open) }

  // MARK: Taking segments

  /// How many segments may be taken.
  var freeCount: Int { free.count }

  /// Takes the lowest free segment for a head to write into: so a sparse image stays small, and segments
  /// freed lately are used again.
  /// - Parameter checkpoint: the age of what will be written; the current one by default.
  func take(for checkpoint: UInt64? = nil) -> UInt32? {
    guard let segment = free.first else { return nil }
    claim(UInt32(segment), for: checkpoint ?? age)
    flags[segment].insert(.open)
    return UInt32(segment)
  }

  private func claim(_ segment: UInt32, for age: UInt64) {
    let index = Int(segment)
    free.remove(index)
    victims.remove(segment, ages: ages)
    states[index] = .used
    ages[index] = age
    emptySince[index] = 0
    touch(index)
    listIfEmpty(index)
  }

  /// Recovery: takes a segment that holds part of the log.
  func reopen(_ segment: UInt32) {
    claim(segment, for: age)
    flags[Int(segment)].insert(.open)
  }

  /// The head that wrote into the segment has left it.
  func close(_ segment: UInt32) {
    flags[Int(segment)].remove(.open)
    listIfEmpty(Int(segment))
    offerLater(segment)
  }

  /// Sets the age of a segment that was written: that of `checkpoint`, the current one by default.
  @inline(__always)
  func wrote(_ segment: UInt32, for checkpoint: UInt64? = nil) {
    let age = checkpoint ?? age
    if ages[Int(segment)] != age {
      // A log write of the cleaner may end after the checkpoint that made its segment a victim.
      if victims.contains(Int(segment)) {
        victims.remove(segment, ages: ages)
        offerLater(segment)
      }
      ages[Int(segment)] = age
      touch(Int(segment))
    }
    emptySince[Int(segment)] = 0
  }

  // MARK: Victims

  /// Offers a segment to the cleaner once a checkpoint is durable that holds all that was written into it.
  func offerLater(_ segment: UInt32) {
    guard !flags[Int(segment)].contains(.laterVictim) else { return }
    flags[Int(segment)].insert(.laterVictim)
    laterVictims.append(segment)
  }

  /// A checkpoint is durable: offers the segments that were written before its cut.
  func offerVictims(durable checkpoint: UInt64) {
    var left = 0
    for segment in laterVictims {
      let index = Int(segment)
      if isOpen(index) || ages[index] > checkpoint {
        laterVictims[left] = segment
        left += 1
      } else {
        flags[index].remove(.laterVictim)
        if isUsed(index), live[index] > 0 { victims.insert(segment, live: live[index], ages: ages) }
      }
    }
    laterVictims.removeLast(laterVictims.count - left)
  }

  /// The mean share of live blocks of the segments in use.
  var meanUse: Double {
    let blocks = UInt64(count - free.count) * UInt64(geometry.segmentBlocks)
    return blocks == 0 ? 0 : Double(liveTotal) / Double(blocks)
  }

  /// The share of a segment's blocks that are live.
  func use(of segment: Int) -> Double { Double(live[segment]) / Double(geometry.segmentBlocks) }

  /// The best victim by cost and benefit among the segments of which at most such a share is live.
  func bestVictim(largestUse: Double) -> UInt32? {
    var best: (segment: UInt32, score: Double)?
    for rank in 0..<VictimIndex.rankCount {
      guard let segment = victims.oldest(rank: rank) else { continue }
      let use = use(of: Int(segment))
      guard use <= largestUse else { continue }
      let score = CleaningPolicy.score(use: use, age: age(since: ages[Int(segment)]))
      if score > best?.score ?? -1 { best = (segment, score) }
    }
    return best?.segment
  }

  /// The victim with the fewest live blocks, to within a rank; nil when less than one block in 128 of it is
  /// dead.
  func emptiestVictim() -> UInt32? {
    for rank in 0..<VictimIndex.rankCount {
      guard let segment = victims.oldest(rank: rank) else { continue }
      let size = geometry.segmentBlocks
      return live[Int(segment)] < size - (size / 128 + 1) ? segment : nil
    }
    return nil
  }

  /// The cleaner takes a segment, and offers it again with `offerLater` unless it cannot be emptied.
  func takeVictim(_ segment: UInt32) { victims.remove(segment, ages: ages) }

  // MARK: Releasing segments

  private func isEmpty(_ segment: Int) -> Bool {
    states[segment] == .used && live[segment] == 0 && flags[segment].isDisjoint(with: [.open, .releasing])
  }

  private func listIfEmpty(_ segment: Int) {
    guard isEmpty(segment), !flags[segment].contains(.listed) else { return }
    flags[segment].insert(.listed)
    empties.append(UInt32(segment))
  }

  /// Whether one or two checkpoints would free segments.
  var hasEmptySegments: Bool {
    while let segment = empties.last {
      if isEmpty(Int(segment)) { return true }
      empties.removeLast()
      flags[Int(segment)].remove(.listed)
    }
    return !settled.isEmpty
  }

  /// Segments that one call of `settle` checks.
  private static let segmentsPerStep = 4096

  /// Determines which segments checkpoint `sequence`, whose usage table is about to be written, leaves empty.
  /// Those that an earlier checkpoint left empty too are written as free, and are free once this checkpoint
  /// is durable.
  ///
  /// Segments of this checkpoint's age or later are not counted as empty: the log since the previous
  /// checkpoint is kept.
  /// - Returns: whether all were checked; otherwise to be called again.
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

  /// The settled checkpoint is durable: the segments it lists as free are released.
  func release() {
    released.append(contentsOf: releasing)
    releasing.removeAll(keepingCapacity: true)
  }

  /// Takes a released segment, to be discarded and freed.
  func nextReleased() -> UInt32? { released.popLast() }

  var hasReleased: Bool { !released.isEmpty }

  /// A released segment is being discarded.
  func beginDiscard() { discarding += 1 }

  /// A discard has ended. It is a hint: the segment is free even if it failed.
  func endDiscard(_ segment: UInt32) {
    assert(discarding > 0)
    discarding -= 1
    free(segment)
  }

  /// The cleaner found nothing at all to clean.
  func setExhausted() { exhaustedAt = liveTotal }

  /// A checkpoint is durable: it may have freed segments.
  func clearExhausted() { exhaustedAt = nil }

  /// Whether the cleaner last found nothing to clean, and no block was freed since.
  var isExhausted: Bool {
    guard let live = exhaustedAt else { return false }
    return liveTotal >= live && !hasEmptySegments && !hasReleased && discarding == 0
  }

  /// Recovery: frees all empty segments at once, because there is no other checkpoint that needs them.
  func releaseEmpties() {
    for segment in empties {
      flags[Int(segment)].remove(.listed)
      if isEmpty(Int(segment)) { free(segment) }
    }
    empties.removeAll()
  }

  /// Makes a released segment free.
  func free(_ segment: UInt32) {
    let index = Int(segment)
    guard states[index] == .used else { return }
    states[index] = .free
    flags[index].formIntersection(.laterVictim)
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
          live[segment] == 0 && flags[segment].isSubset(of: .laterVictim) && free.contains(segment),
          "segment \(segment) is not free")
      }
      if isEmpty(segment) {
        invariants.expect(
          flags[segment].contains(.listed), "segment \(segment) is empty and will never come free")
      }
      if flags[segment].contains(.listed) { listed += 1 }
      if victims.contains(segment) {
        invariants.expect(
          isUsed(segment) && !isOpen(segment) && live[segment] > 0 && ages[segment] < age,
          "segment \(segment) must not be cleaned")
      }
    }
    victims.checkInvariants(&invariants, live: live, ages: ages)
    invariants.expect(
      "segments to be offered to the cleaner, each once", Set(laterVictims).count, equals: laterVictims.count)
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
