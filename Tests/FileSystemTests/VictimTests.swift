import Format
import Simulation
import Testing

@testable import FileSystem

/// How the cleaner finds its victims.
@Suite struct VictimTests {
  /// The index and a plain list of the same segments.
  private struct Pair {
    var index: VictimIndex
    var live: [UInt32]
    var ages: [UInt64]
    var members: Set<UInt32> = []

    init(count: Int, random: inout SeededRandom) {
      index = VictimIndex(capacity: count, segmentBlocks: 2048)
      live = (0..<count).map { _ in UInt32(random.number(1...2048)) }
      ages = (0..<count).map { _ in UInt64(random.number(1...40)) }
    }

    func check() {
      var invariants = Invariants()
      live.withUnsafeBufferPointer { live in
        ages.withUnsafeBufferPointer { ages in
          guard let live = live.baseAddress, let ages = ages.baseAddress else { return }
          index.checkInvariants(&invariants, live: live, ages: ages)
        }
      }
      #expect(invariants.violations.isEmpty)
      #expect(index.count == members.count)
      for rank in 0..<VictimIndex.rankCount {
        let ranked = members.filter { index.rank(live: live[Int($0)]) == rank }
        let oldest = index.oldest(rank: rank)
        #expect((oldest == nil) == ranked.isEmpty)
        #expect(oldest.map { ages[Int($0)] } == ranked.map { ages[Int($0)] }.min())
      }
    }
  }

  @Test("each rank's oldest segment is found while segments come, go and lose live blocks", arguments: 1...5)
  func ranks(seed: Int) {
    var random = SeededRandom(UInt64(seed))
    var pair = Pair(count: 300, random: &random)
    for step in 0..<4000 {
      let segment = UInt32(random.below(300))
      let isMember = pair.members.contains(segment)
      pair.ages.withUnsafeBufferPointer { ages in
        guard let ages = ages.baseAddress else { return }
        if !isMember {
          pair.index.insert(segment, live: pair.live[Int(segment)], ages: ages)
          pair.members.insert(segment)
        } else if random.chance(30) {
          pair.index.remove(segment, ages: ages)
          pair.members.remove(segment)
        } else {
          pair.live[Int(segment)] = UInt32(random.number(0...Int(pair.live[Int(segment)])))
          pair.index.update(segment, live: pair.live[Int(segment)], ages: ages)
        }
      }
      if step % 50 == 0 { pair.check() }
    }
    pair.check()
  }

  /// A table of 300 segments, of which `live` have live blocks; they were written one checkpoint after another.
  private static func table(live: [Int]) throws -> SegmentTable {
    let geometry = try Geometry.fitting(blockCount: 300 * 128 + 64, segmentBlocks: 128)
    let segments = SegmentTable(geometry: geometry)
    for (number, count) in live.enumerated() {
      let segment = UInt32(number)
      segments.reopen(segment)
      for block in 0..<UInt64(count) { segments.add(geometry.segmentBlock(segment) + block) }
      segments.close(segment)
      segments.cut()
    }
    return segments
  }

  @Test func whatWasWrittenSinceTheLastCheckpointIsNoVictim() throws {
    let segments = try Self.table(live: [10, 10, 10])
    #expect(segments.bestVictim(largestUse: 1) == nil)
    segments.offerVictims(durable: 1)
    #expect(segments.bestVictim(largestUse: 1) == 0)
    segments.takeVictim(0)
    #expect(segments.bestVictim(largestUse: 1) == nil)
    segments.offerVictims(durable: 2)
    #expect(segments.bestVictim(largestUse: 1) == 1)
  }

  @Test func aLogWriteThatEndsLateMakesItsSegmentYoungAgain() throws {
    let segments = try Self.table(live: [10, 10])
    segments.offerVictims(durable: 2)
    #expect(segments.bestVictim(largestUse: 1) == 0)
    segments.wrote(0)
    #expect(segments.bestVictim(largestUse: 1) == 1)
    segments.offerVictims(durable: 2)
    #expect(segments.bestVictim(largestUse: 1) == 1)
    segments.cut()
    segments.offerVictims(durable: 3)
    segments.takeVictim(1)
    #expect(segments.bestVictim(largestUse: 1) == 0)
  }

  @Test func costAndBenefitPrefersOldSegmentsAndTheLastResortTheEmptiest() throws {
    var live = Array(repeating: 60, count: 40)
    live[0] = 80
    live[39] = 20
    let segments = try Self.table(live: live)
    segments.offerVictims(durable: 40)
    #expect(segments.bestVictim(largestUse: 1) == 1)
    #expect(segments.bestVictim(largestUse: 0.2) == 39)
    #expect(segments.emptiestVictim() == 39)
    segments.takeVictim(1)
    #expect(segments.bestVictim(largestUse: 1) != 1)
    segments.offerLater(1)
    #expect(segments.bestVictim(largestUse: 1) != 1)
    segments.offerVictims(durable: 40)
    #expect(segments.bestVictim(largestUse: 1) == 1)
  }

  @Test func aFullSegmentIsNoVictim() throws {
    let segments = try Self.table(live: [128, 127])
    segments.offerVictims(durable: 2)
    #expect(segments.emptiestVictim() == nil)
    segments.remove(segments.geometry.segmentBlock(0))
    segments.remove(segments.geometry.segmentBlock(0))
    segments.remove(segments.geometry.segmentBlock(0))
    #expect(segments.emptiestVictim() == 0)
  }

  @Test func blocksAreOldAfterSeveralLifetimesOfForegroundSegments() {
    var policy = CleaningPolicy()
    #expect(!policy.isOld(age: 1000))
    policy.cleanedForeground(age: 10)
    #expect(!policy.isOld(age: 40))
    #expect(policy.isOld(age: 41))
    for _ in 0..<100 { policy.cleanedForeground(age: 100) }
    #expect(!policy.isOld(age: 399))
    #expect(policy.isOld(age: 401))
  }

  @Test func theLargestUseLeavesVictimsHoweverFullSegmentsAre() {
    for mean in stride(from: 0.0, through: 0.99, by: 0.01) {
      #expect(CleaningPolicy.largestUse(meanUse: mean) > mean)
    }
  }
}
