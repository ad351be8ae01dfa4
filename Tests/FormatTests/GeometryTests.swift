import Format
import TestSupport
import Testing

@Suite("Geometry")
struct GeometryTests {
  /// Sizes in blocks from the least to 16 TiB, close to powers of two and between.
  private static func sizes() -> [UInt64] {
    var random = SplitMix(seed: 3)
    var sizes = (14...32).flatMap { [1 << $0, (1 << $0) - 1] as [UInt64] }
    sizes += (0..<200).map { _ in UInt64.random(in: 8800...(1 << 32), using: &random) }
    return sizes
  }

  @Test("Regions follow each other without overlapping and end before the last block")
  func regions() throws {
    for size in Self.sizes() {
      let geometry = try Geometry.fitting(blockCount: size)
      #expect(geometry.packBlock(slot: 0, copy: 0) == 1)
      #expect(geometry.packBlock(slot: 1, copy: 0) == 1 + geometry.packBlocks)
      #expect(geometry.usageStart == 1 + 2 * geometry.packBlocks)
      #expect(geometry.usageBlock(geometry.usageBlocks - 1, copy: 1) < geometry.firstSegmentBlock)
      #expect(geometry.firstSegmentBlock % 8 == 0)
      #expect(geometry.packBlock(slot: 0, copy: 1) == geometry.segmentEnd)
      #expect(geometry.packBlock(slot: 1, copy: 1) + geometry.packBlocks < size)
      #expect(geometry.segmentCount >= Geometry.minimumSegments)
      #expect(geometry.packBlocks * UInt64(Page.size) >= 256 + 8 * UInt64(geometry.usageBlocks))
    }
  }

  @Test("As many segments as fit, at least 128 where segments can be small enough")
  func fitting() throws {
    for size in Self.sizes() {
      let geometry = try Geometry.fitting(blockCount: size)
      #expect(
        throws: FormatError.self, "another segment would fit into \(size) blocks"
      ) {
        try Geometry(
          blockCount: size, segmentBlocks: geometry.segmentBlocks, segmentCount: geometry.segmentCount + 1)
      }
      #expect(geometry.segmentCount >= 128 || geometry.segmentBlocks == Geometry.minimumSegmentBlocks)
    }
  }

  @Test("A block's segment is the one that holds it")
  func segmentOf() throws {
    var random = SplitMix(seed: 4)
    for size in Self.sizes() {
      let geometry = try Geometry.fitting(blockCount: size)
      let segment = UInt32.random(in: 0..<geometry.segmentCount, using: &random)
      let start = geometry.segmentBlock(segment)
      #expect(geometry.segment(of: start) == segment)
      #expect(geometry.segment(of: start + UInt64(geometry.segmentBlocks) - 1) == segment)
      #expect(geometry.segment(of: geometry.firstSegmentBlock - 1) == nil)
      #expect(geometry.segment(of: geometry.segmentEnd) == nil)
      #expect(geometry.segment(of: .max) == nil)
    }
  }

  @Test(
    "Impossible sizes are refused",
    arguments: [
      (UInt64(1) << 33, nil), (0, nil), (100, nil), (1 << 20, 0), (1 << 20, 100), (1 << 20, 64),
      (1 << 20, 1 << 14), (.max, nil), (.max, 0),
    ] as [(UInt64, UInt32?)])
  func refused(size: UInt64, segment: UInt32?) {
    #expect(throws: FormatError.self) { try Geometry.fitting(blockCount: size, segmentBlocks: segment) }
  }
}
