import Format

/// What each segment holds, now and as of the checkpoint under way.
final class SegmentUsage {
  let geometry: Geometry
  let count: Int
  /// Blocks reachable now, and blocks reachable as of the cut.
  private let live: UnsafeMutablePointer<UInt32>
  private let liveAtCut: UnsafeMutablePointer<UInt32>
  private let states: UnsafeMutablePointer<UsageEntry.State>
  /// The checkpoint in whose time a segment was last written.
  private let ages: UnsafeMutablePointer<UInt64>
  /// The checkpoint that first found a segment empty; 0 for none.
  private let emptySince: UnsafeMutablePointer<UInt64>
  /// Whether a head writes into the segment, or will next.
  private let open: UnsafeMutablePointer<Bool>
  /// Usage blocks that differ from what the last checkpoint wrote.
  private(set) var dirtyBlocks: [Bool]
  /// Blocks reachable now, in all segments.
  private(set) var liveTotal: UInt64 = 0
  /// Segments that may be taken.
  private(set) var freeCount = 0
  private var cursor = 0

  init(geometry: Geometry) {
    self.geometry = geometry
    count = Int(geometry.segmentCount)
    live = .allocate(capacity: count)
    live.initialize(repeating: 0, count: count)
    liveAtCut = .allocate(capacity: count)
    liveAtCut.initialize(repeating: 0, count: count)
    states = .allocate(capacity: count)
    states.initialize(repeating: .free, count: count)
    ages = .allocate(capacity: count)
    ages.initialize(repeating: 0, count: count)
    emptySince = .allocate(capacity: count)
    emptySince.initialize(repeating: 0, count: count)
    open = .allocate(capacity: count)
    open.initialize(repeating: false, count: count)
    dirtyBlocks = Array(repeating: false, count: Int(geometry.usageBlocks))
  }

  deinit {
    live.deallocate()
    liveAtCut.deallocate()
    states.deallocate()
    ages.deallocate()
    emptySince.deallocate()
    open.deallocate()
  }

  /// Takes over one usage block as read from disk.
  func load(_ page: Page, block: Int) {
    let perBlock = Int(Geometry.usagePerBlock)
    for index in 0..<min(perBlock, count - block * perBlock) {
      let entry = UsageEntry(page, index: index)
      let segment = block * perBlock + index
      live[segment] = min(entry.live, geometry.segmentBlocks)
      // Where something lives nothing may be written, whatever the state says.
      states[segment] = live[segment] > 0 ? .used : entry.state
      ages[segment] = entry.age
      liveTotal += UInt64(live[segment])
      if states[segment] == .free { freeCount += 1 }
    }
  }

  /// Writes one usage block as of the cut. It still differs when a block came or went since.
  func store(_ page: Page, block: Int) {
    page.clear()
    dirtyBlocks[block] = false
    let perBlock = Int(Geometry.usagePerBlock)
    for index in 0..<min(perBlock, count - block * perBlock) {
      let segment = block * perBlock + index
      UsageEntry(live: liveAtCut[segment], state: states[segment], age: ages[segment]).store(
        page, index: index)
      if live[segment] != liveAtCut[segment] { dirtyBlocks[block] = true }
    }
  }

  @inline(__always)
  private func touch(_ segment: Int) { dirtyBlocks[segment / Int(Geometry.usagePerBlock)] = true }

  // MARK: Live blocks

  /// A block became reachable.
  @inline(__always)
  func add(_ block: UInt64) {
    guard let segment = geometry.segment(of: block) else { return }
    live[Int(segment)] &+= 1
    liveTotal &+= 1
    touch(Int(segment))
  }

  /// A block is not reachable any more.
  @inline(__always)
  func remove(_ block: UInt64) {
    guard let segment = geometry.segment(of: block), live[Int(segment)] > 0 else { return }
    live[Int(segment)] -= 1
    liveTotal -= 1
    touch(Int(segment))
  }

  /// The checkpoint under way writes a block anew: it moves now and as of the cut.
  func moveAtCut(from old: UInt64, to new: UInt64) {
    add(new)
    if let segment = geometry.segment(of: new) { liveAtCut[Int(segment)] &+= 1 }
    guard old != 0 else { return }
    remove(old)
    if let segment = geometry.segment(of: old), liveAtCut[Int(segment)] > 0 { liveAtCut[Int(segment)] -= 1 }
  }

  /// A cut: from here on `store` shows the counts of this moment.
  func cut() {
    liveAtCut.update(from: live, count: count)
  }

  func liveBlocks(_ segment: Int) -> UInt32 { live[segment] }
  func age(_ segment: Int) -> UInt64 { ages[segment] }
  func isUsed(_ segment: Int) -> Bool { states[segment] == .used }
  func isOpen(_ segment: Int) -> Bool { open[segment] }
  func isEmptying(_ segment: Int) -> Bool { emptySince[segment] != 0 }

  // MARK: Segments

  /// Takes a free segment for a head to write into.
  func take(age: UInt64) -> UInt32? {
    guard freeCount > 0 else { return nil }
    for step in 0..<count {
      let segment = (cursor + step) % count
      guard states[segment] == .free else { continue }
      cursor = segment + 1
      claim(UInt32(segment), age: age)
      open[segment] = true
      return UInt32(segment)
    }
    return nil
  }

  /// Marks a segment as used without opening it: recovery found the log in it.
  func claim(_ segment: UInt32, age: UInt64) {
    let index = Int(segment)
    if states[index] == .free { freeCount -= 1 }
    states[index] = .used
    ages[index] = age
    emptySince[index] = 0
    touch(index)
  }

  /// The head that wrote into the segment has left it.
  func close(_ segment: UInt32) { open[Int(segment)] = false }

  /// The segment was written in the time of checkpoint `age`.
  @inline(__always)
  func wrote(_ segment: UInt32, age: UInt64) {
    if ages[Int(segment)] != age {
      ages[Int(segment)] = age
      touch(Int(segment))
    }
    emptySince[Int(segment)] = 0
  }

  /// A segment is being discarded: it is neither free nor found again by `releasable`.
  func holdForDiscard(_ segment: UInt32) { open[Int(segment)] = true }

  /// A free segment may be written; before that a discard may have to end.
  func setFree(_ segment: UInt32) {
    guard states[Int(segment)] == .used else { return }
    states[Int(segment)] = .free
    open[Int(segment)] = false
    emptySince[Int(segment)] = 0
    freeCount += 1
    // The lowest free segment is taken next: a sparse image stays small, and what was just given back is used again.
    cursor = min(cursor, Int(segment))
    touch(Int(segment))
  }

  /// After checkpoint `sequence` became durable: notes segments that it leaves empty, and returns those that the
  /// checkpoint before it left empty too. Nothing that either of the two can reach lies in them.
  ///
  /// Segments written in the time of this checkpoint or later stay: the log since the checkpoint before is kept.
  func releasable(after sequence: UInt64) -> [UInt32] {
    var segments: [UInt32] = []
    for segment in 0..<count where states[segment] == .used && live[segment] == 0 && !open[segment] {
      guard liveAtCut[segment] == 0, ages[segment] < sequence else { continue }
      if emptySince[segment] == 0 {
        emptySince[segment] = sequence
      } else if emptySince[segment] < sequence {
        segments.append(UInt32(segment))
      }
    }
    return segments
  }

  /// Whether a checkpoint or two would free segments.
  var hasEmptySegments: Bool {
    (0..<count).contains { states[$0] == .used && live[$0] == 0 && !open[$0] }
  }
}
