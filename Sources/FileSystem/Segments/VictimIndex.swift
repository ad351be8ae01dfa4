/// The segments that the cleaner may take, ranked by how many blocks of them are live: within a rank the one
/// written longest ago comes first. So a victim is found by looking at one segment of each rank, however many
/// segments there are.
///
/// Each rank is a binary heap ordered by age; entering, leaving and changing rank take time logarithmic in the
/// number of segments. The ages belong to `SegmentTable`: a segment's age must not change while it is here.
struct VictimIndex {
  /// Ranks; a rank is that share of a segment's blocks.
  static let rankCount = 64
  private static let absent = UInt32.max

  /// log2 of the live blocks of a rank.
  private let shift: UInt32
  /// For each rank the segments in it.
  private var heaps: [[UInt32]] = Array(repeating: [], count: VictimIndex.rankCount)
  /// For each segment its place in its rank's heap, and that rank.
  private var places: [UInt32]
  private var ranks: [UInt8]
  private(set) var count = 0

  /// An empty index of segments below `capacity`.
  /// - Parameter segmentBlocks: blocks of a segment, a power of two.
  init(capacity: Int, segmentBlocks: UInt32) {
    places = Array(repeating: Self.absent, count: capacity)
    ranks = Array(repeating: 0, count: capacity)
    shift = UInt32(max(segmentBlocks.trailingZeroBitCount - Self.rankCount.trailingZeroBitCount, 0))
  }

  /// The rank of a segment with so many live blocks.
  @inline(__always)
  func rank(live: UInt32) -> Int { min(Int(live >> shift), Self.rankCount - 1) }

  @inline(__always)
  func contains(_ segment: Int) -> Bool { places[segment] != Self.absent }

  /// The segment of a rank that was written longest ago.
  func oldest(rank: Int) -> UInt32? { heaps[rank].first }

  mutating func insert(_ segment: UInt32, live: UInt32, ages: UnsafePointer<UInt64>) {
    guard !contains(Int(segment)) else { return }
    let rank = rank(live: live)
    ranks[Int(segment)] = UInt8(rank)
    heaps[rank].append(segment)
    count += 1
    rise(from: heaps[rank].count - 1, in: rank, ages)
  }

  mutating func remove(_ segment: UInt32, ages: UnsafePointer<UInt64>) {
    guard contains(Int(segment)) else { return }
    let rank = Int(ranks[Int(segment)])
    let place = Int(places[Int(segment)])
    places[Int(segment)] = Self.absent
    count -= 1
    let last = heaps[rank].removeLast()
    guard last != segment else { return }
    heaps[rank][place] = last
    places[Int(last)] = UInt32(place)
    rise(from: place, in: rank, ages)
    sink(from: Int(places[Int(last)]), in: rank, ages)
  }

  /// Moves a segment to the rank of its live blocks, if it is here and in another.
  @inline(__always)
  mutating func update(_ segment: UInt32, live: UInt32, ages: UnsafePointer<UInt64>) {
    guard contains(Int(segment)), Int(ranks[Int(segment)]) != rank(live: live) else { return }
    remove(segment, ages: ages)
    insert(segment, live: live, ages: ages)
  }

  // MARK: The heap of a rank

  private mutating func rise(from start: Int, in rank: Int, _ ages: UnsafePointer<UInt64>) {
    var place = start
    let segment = heaps[rank][place]
    while place > 0 {
      let above = heaps[rank][(place - 1) / 2]
      guard ages[Int(segment)] < ages[Int(above)] else { break }
      put(above, at: place, in: rank)
      place = (place - 1) / 2
    }
    put(segment, at: place, in: rank)
  }

  private mutating func sink(from start: Int, in rank: Int, _ ages: UnsafePointer<UInt64>) {
    var place = start
    let segment = heaps[rank][place]
    while 2 * place + 1 < heaps[rank].count {
      var below = 2 * place + 1
      if below + 1 < heaps[rank].count,
        ages[Int(heaps[rank][below + 1])] < ages[Int(heaps[rank][below])]
      {
        below += 1
      }
      guard ages[Int(heaps[rank][below])] < ages[Int(segment)] else { break }
      put(heaps[rank][below], at: place, in: rank)
      place = below
    }
    put(segment, at: place, in: rank)
  }

  private mutating func put(_ segment: UInt32, at place: Int, in rank: Int) {
    heaps[rank][place] = segment
    places[Int(segment)] = UInt32(place)
  }

  // MARK: Invariants

  func checkInvariants(
    _ invariants: inout Invariants, live: UnsafePointer<UInt32>, ages: UnsafePointer<UInt64>
  ) {
    invariants.expect("segments in ranks", heaps.reduce(0) { $0 + $1.count }, equals: count)
    for (rank, heap) in heaps.enumerated() {
      for (place, segment) in heap.enumerated() {
        let isInPlace = places[Int(segment)] == UInt32(place) && Int(ranks[Int(segment)]) == rank
        invariants.expect(
          isInPlace && rank == self.rank(live: live[Int(segment)]), "segment \(segment) is in a wrong rank")
        invariants.expect(
          ages[Int(heap[max(place - 1, 0) / 2])] <= ages[Int(segment)],
          "segment \(segment) is older than the first of its rank")
      }
    }
  }
}
