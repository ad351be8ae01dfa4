import Format
import Testing

@testable import FileSystem

/// The table of what each segment holds, as checkpoints write it.
@Suite struct SegmentUsageTests {
  private static func withPage<T>(_ body: (Page) throws -> T) rethrows -> T {
    let memory = UnsafeMutableRawPointer.allocate(byteCount: Page.size, alignment: Page.size)
    defer { memory.deallocate() }
    return try body(Page(memory))
  }

  @Test("a block that came or went between the cut and the writing of the table is in the next one")
  func changesAfterTheCut() throws {
    let geometry = try Geometry.fitting(blockCount: 300 * 128 + 64, segmentBlocks: 128)
    let usage = SegmentUsage(geometry: geometry)
    let segment: UInt32 = 270
    usage.add(geometry.segmentBlock(segment))
    usage.cut()
    usage.add(geometry.segmentBlock(segment) + 1)
    Self.withPage { page in
      usage.store(page, block: 1)
      #expect(UsageEntry(page, index: 14).live == 1)
      #expect(usage.dirtyBlocks[1])
      usage.cut()
      usage.store(page, block: 1)
      #expect(UsageEntry(page, index: 14).live == 2)
      #expect(!usage.dirtyBlocks[1])
    }
  }
}
