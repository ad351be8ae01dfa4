import Simulation
import Testing

@testable import FileSystem

@Suite("Reading inodes together") struct InodeReadAheadTests {
  /// How many times something was read, and how many inodes, when inodes are asked for in this order.
  private func walk(_ numbers: [UInt64]) -> (reads: Int, inodes: Int) {
    var ahead = InodeReadAhead()
    var inMemory: Set<UInt64> = []
    var reads = 0
    for number in numbers where !inMemory.contains(number) {
      let range = ahead.missed(number)
      #expect(range.contains(number))
      inMemory.formUnion(range)
      reads += 1
    }
    return (reads, inMemory.count)
  }

  @Test func aWalkOfFilesMadeTogetherReadsThemTogether() {
    var random = SeededRandom(1)
    for count in [100, 1000, 10_000] as [UInt64] {
      var numbers = Array(70_000..<70_000 + count)
      for place in numbers.indices { numbers.swapAt(place, random.below(numbers.count)) }
      let (reads, inodes) = walk(numbers)
      #expect(reads <= count / 8 + 8, "\(count) inodes in any order: \(reads) reads")
      #expect(inodes <= Int(count) + 512)
      #expect(walk(numbers.sorted()).reads <= count / 20 + 8)
    }
  }

  @Test func inodesAmongManyOthersAreReadAlone() {
    var random = SeededRandom(2)
    let numbers = (0..<20_000).map { _ in UInt64(random.number(3...10_000_000)) }
    let (reads, inodes) = walk(numbers)
    #expect(inodes <= reads * 11 / 10)
  }
}
