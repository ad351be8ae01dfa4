import FileSystem

/// A log with a cleaner, reduced to which segment holds which block: small enough to try policies on millions
/// of writes.
///
/// It has what makes writes more than the data: log headers, the blocks that are moved, the map nodes that
/// checkpoints write, the free segments that are kept, and the two checkpoints that it takes to free a segment.
public struct CleaningModel {
  /// What is chosen, and what is kept apart.
  public enum Policy: String, CaseIterable, Sendable {
    /// The segment with the fewest live blocks; everything moved goes to one head.
    case greedy
    /// By cost and benefit; everything moved goes to one head.
    case costBenefit = "cost-benefit"
    /// By cost and benefit, with the mean age of the contents for the segment's age; two heads.
    case costBenefitOfContents = "cost-benefit by contents' age, two heads"
    /// What the cleaner does: cost and benefit, and two heads for moved blocks.
    case varve = "cost-benefit, two heads (Varve)"
    /// The same, and what is written goes to two heads as well, by how long the block that it replaces lived.
    case separatedWrites = "the same, new writes apart too"

    var separatesMoves: Bool { self != .greedy && self != .costBenefit }
  }

  /// Blocks written, by what for.
  public struct Outcome: Sendable {
    public var data = 0
    public var moved = 0
    public var nodes = 0
    public var headers = 0

    /// Blocks written for each block of data.
    public var amplification: Double {
      data == 0 ? 0 : Double(data + moved + nodes + headers) / Double(data)
    }
  }

  private struct Segment {
    enum State { case free, open, used }
    var state = State.free
    var live = 0
    /// Blocks in the order in which they were written; -1 for a header.
    var blocks: [Int32] = []
    /// When it was last written, in checkpoints; and the sum of the times at which its contents were.
    var written = 0
    var contents = 0
    var emptySince = 0
    var head = 0
  }

  static let segmentCount = 256
  static let segmentBlocks = 512
  private static let blocksPerHeader = 64
  /// Free segments below which the cleaner works, and how many more it makes before it asks for checkpoints.
  private static let cleaningLevel = 14
  private static let gain = 8
  private static let segmentsAtATime = 32
  /// Free segments that the cleaner leaves.
  private static let kept = 6

  /// Heads.
  private static let foreground = 0
  private static let foregroundRare = 1
  private static let nodes = 2
  private static let young = 3
  private static let old = 4

  private let policy: Policy
  private let dataBlocks: Int
  private var segments: [Segment]
  private var free: Set<Int>
  private var heads: [Int?] = Array(repeating: nil, count: 5)
  /// For each block of data, then for each map node: its segment, and when its contents were written.
  private var places: [Int32]
  private var births: [Int32]
  private var isDirty: [Bool]
  private var dirty: [Int] = []
  private var checkpoint = 1
  private var choice = CleaningPolicy()
  private var outcome = Outcome()

  /// - Parameter fill: the share of the device's blocks that hold data.
  private init(_ policy: Policy, fill: Double) {
    self.policy = policy
    dataBlocks = Int(fill * Double(Self.segmentCount * Self.segmentBlocks))
    let nodes = (dataBlocks + 255) / 256
    segments = Array(repeating: Segment(), count: Self.segmentCount)
    free = Set(0..<Self.segmentCount)
    places = Array(repeating: -1, count: dataBlocks + nodes)
    births = Array(repeating: 0, count: dataBlocks + nodes)
    isDirty = Array(repeating: false, count: nodes)
  }

  /// Fills a device, overwrites its data `rounds` times as often as there are blocks until the state is
  /// steady, and as often again to measure.
  /// - Returns: nil when no free segment was left.
  public static func run(_ policy: Policy, _ trace: CleaningTrace, fill: Double, rounds: Int, seed: UInt64)
    -> Outcome?
  {
    var model = CleaningModel(policy, fill: fill)
    var writes = TracedWrites(trace, count: model.dataBlocks, seed: seed)
    for block in 0..<model.dataBlocks { guard model.write(block) else { return nil } }
    for _ in 0..<rounds * model.dataBlocks { guard model.write(writes.next()) else { return nil } }
    model.outcome = Outcome()
    for _ in 0..<rounds * model.dataBlocks { guard model.write(writes.next()) else { return nil } }
    return model.outcome
  }

  // MARK: Writing

  private mutating func write(_ block: Int) -> Bool {
    outcome.data += 1
    let head = policy == .separatedWrites && isRare(block) ? Self.foregroundRare : Self.foreground
    remove(block)
    markNode(of: block)
    guard place(block, at: head, written: checkpoint) else { return false }
    return free.count >= Self.cleaningLevel || clean()
  }

  /// Whether the contents that are replaced lived long.
  private func isRare(_ block: Int) -> Bool {
    guard let lifetime = choice.lifetime, places[block] >= 0 else { return false }
    return Double(checkpoint - Int(births[block])) > 2 * lifetime
  }

  private mutating func place(_ block: Int, at head: Int, written: Int) -> Bool {
    if heads[head].map({ segments[$0].blocks.count + 2 > Self.segmentBlocks }) ?? true {
      guard let segment = free.min() else { return false }
      free.remove(segment)
      if let full = heads[head] { segments[full].state = .used }
      segments[segment] = Segment(state: .open, head: head)
      heads[head] = segment
    }
    guard let segment = heads[head] else { return false }
    if segments[segment].blocks.count % Self.blocksPerHeader == 0 {
      segments[segment].blocks.append(-1)
      outcome.headers += 1
    }
    segments[segment].blocks.append(Int32(block))
    segments[segment].live += 1
    segments[segment].written = checkpoint
    segments[segment].contents += written
    places[block] = Int32(segment)
    births[block] = Int32(written)
    return true
  }

  private mutating func remove(_ block: Int) {
    if places[block] >= 0 { segments[Int(places[block])].live -= 1 }
  }

  private mutating func markNode(of block: Int) {
    let node = block / 256
    guard !isDirty[node] else { return }
    isDirty[node] = true
    dirty.append(node)
  }

  // MARK: Checkpoints

  private mutating func makeCheckpoint() -> Bool {
    for node in dirty {
      isDirty[node] = false
      remove(dataBlocks + node)
      outcome.nodes += 1
      guard place(dataBlocks + node, at: Self.nodes, written: checkpoint) else { return false }
    }
    dirty.removeAll(keepingCapacity: true)
    for segment in segments.indices {
      guard segments[segment].state == .used, segments[segment].live == 0,
        segments[segment].written < checkpoint
      else { continue }
      if segments[segment].emptySince != 0 {
        segments[segment].state = .free
        free.insert(segment)
      } else {
        segments[segment].emptySince = checkpoint
      }
    }
    checkpoint += 1
    return true
  }

  // MARK: Cleaning

  private mutating func clean() -> Bool {
    var emptied = 0
    while free.count > Self.kept, emptied < Self.segmentsAtATime,
      free.count + emptied < Self.cleaningLevel + Self.gain, let victim = bestVictim()
    {
      guard empty(victim) else { return false }
      emptied += 1
    }
    return makeCheckpoint() && makeCheckpoint()
  }

  private func bestVictim() -> Int? {
    var best: (segment: Int, score: Double)?
    for (index, segment) in segments.enumerated() {
      guard segment.state == .used, segment.live > 0, segment.written < checkpoint else { continue }
      let use = Double(segment.live) / Double(Self.segmentBlocks)
      guard use < 0.95 else { continue }
      let score = policy == .greedy ? 1 - use : CleaningPolicy.score(use: use, age: age(of: segment))
      if score > best?.score ?? -1 { best = (index, score) }
    }
    return best?.segment
  }

  private func age(of segment: Segment) -> Double {
    guard policy == .costBenefitOfContents else { return Double(checkpoint - segment.written) }
    return Double(checkpoint) - Double(segment.contents) / Double(max(segment.blocks.count, 1))
  }

  private mutating func empty(_ victim: Int) -> Bool {
    if segments[victim].head == Self.foreground {
      choice.cleanedForeground(age: Double(checkpoint - segments[victim].written))
    }
    let live = Set(segments[victim].blocks.filter { $0 >= 0 && places[Int($0)] == Int32(victim) })
    for block in live.sorted().map(Int.init) {
      guard block < dataBlocks else {
        markNode(of: (block - dataBlocks) * 256)
        continue
      }
      let written = Int(births[block])
      let isOld = policy.separatesMoves && choice.isOld(age: Double(checkpoint - written))
      remove(block)
      markNode(of: block)
      outcome.moved += 1
      guard place(block, at: isOld ? Self.old : Self.young, written: written) else { return false }
    }
    return true
  }
}
