import TestSupport
import Testing

@testable import varve

@Suite struct VarveLatencyTests {
  @Test(arguments: 1...20 as ClosedRange<UInt64>)
  func quantilesAreThoseOfTheSortedLatencies(seed: UInt64) {
    var random = SplitMix(seed: seed)
    // Latencies of every order of magnitude.
    let latencies = (0..<2000).map { _ in random.next() >> UInt64.random(in: 20...63, using: &random) }
    var distribution = LatencyDistribution()
    for latency in latencies { distribution.record(latency) }
    let sorted = latencies.sorted()
    #expect(distribution.count == 2000)
    #expect(distribution.minimum == sorted.first)
    #expect(distribution.maximum == sorted.last)
    for share in [0.0, 0.5, 0.9, 0.99, 0.999, 1] {
      let exact = Double(sorted[max(Int((share * 2000).rounded(.up)), 1) - 1])
      #expect(abs(distribution.quantile(share) - exact) <= exact / 64)
    }
    let mean = latencies.reduce(0.0) { $0 + Double($1) } / 2000
    #expect(abs(distribution.mean - mean) <= mean / 1e9)
  }

  @Test func extremesHaveTheirPlace() {
    var distribution = LatencyDistribution()
    distribution.record(0)
    #expect(distribution.quantile(1) == 0)
    distribution.record(.max)
    #expect(distribution.quantile(1) > 1.8e19)
  }

  @Test func aDistributionOfNothingHasNoFigures() {
    let distribution = LatencyDistribution()
    #expect(distribution.mean.isNaN && distribution.quantile(0.5).isNaN)
  }

  @Test(arguments: [AccessPattern.random, .sequential], [1, 7, 32])
  func commandsStayInRangeAndOnTheirPlaces(pattern: AccessPattern, blocks: Int) {
    let plan = BenchPlan(
      operation: .read, pattern: pattern, blocksPerCommand: blocks, depth: 1, duration: 0, range: 100)
    var sequence = BlockSequence(plan, seed: 5)
    var seen: Set<UInt64> = []
    for _ in 0..<4000 {
      let block = sequence.next()
      #expect(block % UInt64(blocks) == 0 && block + UInt64(blocks) <= 100)
      seen.insert(block)
    }
    #expect(seen.count == 100 / blocks)
  }
}
