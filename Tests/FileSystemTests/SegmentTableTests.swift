import Format
import Simulation
import Testing

import FileProtocol
@testable import FileSystem

/// The segment table, as checkpoints write it.
@Suite struct SegmentTableTests {
  private static func withPage<T>(_ body: (Page) throws -> T) rethrows -> T {
    let memory = UnsafeMutableRawPointer.allocate(byteCount: Page.size, alignment: Page.size)
    defer { memory.deallocate() }
    return try body(Page(memory))
  }

  @Test(
    "a segment that two checkpoints find empty is listed as free by the second, and is free once that is durable"
  )
  func release() throws {
    let geometry = try Geometry.fitting(blockCount: 300 * 128 + 64, segmentBlocks: 128)
    let segments = SegmentTable(geometry: geometry)
    segments.begin(after: 4)
    Self.withPage { page in
      page.clear()
      segments.load(page, block: 0)
      segments.load(page, block: 1)
      let free = segments.freeCount
      #expect(segments.take() == 0)
      segments.add(geometry.segmentBlock(0))
      segments.close(0)
      segments.cut()
      segments.remove(geometry.segmentBlock(0))
      var released: [UInt64: Bool] = [:]
      for sequence in 5...8 as ClosedRange<UInt64> {
        if sequence > 5 { segments.cut() }
        #expect(segments.settle(sequence))
        segments.store(page, block: 0)
        released[sequence] = UsageEntry(page, index: 0).state == .free
        #expect(segments.nextReleased() == nil)
        segments.release()
        if let segment = segments.nextReleased() { segments.free(segment) }
      }
      // Checkpoint 5 still refers to the block, 6 is the first that does not.
      #expect(released == [5: false, 6: false, 7: true, 8: true])
      #expect(segments.freeCount == free)
    }
  }

  @Test(
    "a segment with the log to be replayed comes free after the replay, though empty ones were freed at once")
  func releaseOfTheLog() throws {
    let geometry = try Geometry.fitting(blockCount: 300 * 128 + 64, segmentBlocks: 128)
    let segments = SegmentTable(geometry: geometry)
    Self.withPage { page in
      page.clear()
      segments.load(page, block: 0)
      segments.load(page, block: 1)
    }
    let free = segments.freeCount
    segments.reopen(3)
    segments.releaseEmpties()
    segments.close(3)
    for _ in 0..<3 {
      segments.cut()
      #expect(segments.settle(segments.checkpointUnderWay))
      segments.release()
      if let segment = segments.nextReleased() { segments.free(segment) }
    }
    #expect(segments.freeCount == free)
  }

  @Test func theLowestMemberOfASet() {
    var set = SegmentSet(capacity: 300_000)
    var members: Set<Int> = []
    var random = SeededRandom(7)
    for _ in 0..<20_000 {
      let number = Int(random.next() % 300_000)
      if random.next() % 3 == 0, let first = set.first {
        set.remove(first)
        members.remove(first)
      } else {
        set.insert(number)
        members.insert(number)
      }
      #expect(set.count == members.count)
    }
    while let first = set.first {
      #expect(first == members.min())
      set.remove(first)
      members.remove(first)
      if members.count < 100 { continue }
      for number in members.sorted().prefix(50) {
        set.remove(number)
        members.remove(number)
      }
    }
    #expect(members.isEmpty)
  }

  @Test("a change of live blocks between the cut and the writing of the table is in the next table")
  func changesAfterTheCut() throws {
    let geometry = try Geometry.fitting(blockCount: 300 * 128 + 64, segmentBlocks: 128)
    let segments = SegmentTable(geometry: geometry)
    let segment: UInt32 = 270
    segments.add(geometry.segmentBlock(segment))
    segments.cut()
    segments.add(geometry.segmentBlock(segment) + 1)
    Self.withPage { page in
      segments.store(page, block: 1)
      #expect(UsageEntry(page, index: 14).live == 1)
      #expect(segments.dirtyBlocks[1])
      segments.cut()
      segments.store(page, block: 1)
      #expect(UsageEntry(page, index: 14).live == 2)
      #expect(!segments.dirtyBlocks[1])
    }
  }
}
