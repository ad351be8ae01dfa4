import TestSupport
import Testing

@testable import VFIO

/// What QEMU's Intel IOMMU reports: 39 bits with a hole for interrupt messages.
private let ranges: [ClosedRange<UInt64>] = [0...0xfedf_ffff, 0xfef0_0000...0x7f_ffff_ffff]

@Suite struct AddressSpaceTests {
  @Test func leavesOutAddressZeroAndPartialGranules() {
    let space = AddressSpace(ranges: [0...0x1fff, 0x3800...0x5fff, 0x7000...0x77ff], granule: 4096)
    #expect(space.free == [0x1000...0x1fff, 0x4000...0x5fff])
  }

  @Test func joinsRangesThatTouch() {
    let space = AddressSpace(ranges: [0x3000...0x3fff, 0x1000...0x1fff, 0x2000...0x2fff], granule: 4096)
    #expect(space.free == [0x1000...0x3fff])
  }

  @Test func takesTheWholeOf64Bits() {
    var space = AddressSpace(ranges: [0...UInt64.max], granule: 4096)
    #expect(space.allocate(4096, alignment: 1 << 63) == 1 << 63)
    #expect(space.allocate(UInt64.max, alignment: 4096) == nil)
  }

  @Test func neverCrossesAHole() {
    var space = AddressSpace(ranges: ranges, granule: 4096)
    let size: UInt64 = 0xff00_0000
    let first = space.allocate(size, alignment: 4096)
    #expect(first == 0xfef0_0000)
  }

  @Test func returnsNilWhenFull() {
    var space = AddressSpace(ranges: [0x1000...0x4fff], granule: 4096)
    #expect(space.allocate(0x4000, alignment: 4096) == 0x1000)
    #expect(space.allocate(1, alignment: 4096) == nil)
    space.release(0x1000, 0x4000)
    #expect(space.allocate(1, alignment: 4096) == 0x1000)
  }

  /// For any sequence of allocations and releases: pieces are aligned, lie within the ranges and never
  /// overlap, and in the end all is free again.
  @Test(arguments: 1...20) func keepsPiecesApart(seed: UInt64) {
    var random = SplitMix(seed: seed)
    var space = AddressSpace(ranges: ranges, granule: 4096)
    let untouched = space.free
    var taken: [(start: UInt64, size: UInt64)] = []
    for _ in 0..<300 {
      if Bool.random(using: &random) || taken.isEmpty {
        let size = UInt64.random(in: 1...(1 << 30), using: &random)
        let alignment = UInt64(1) << UInt64.random(in: 12...30, using: &random)
        guard let start = space.allocate(size, alignment: alignment) else { continue }
        let end = start + size - 1
        #expect(start % alignment == 0)
        #expect(ranges.contains { $0.contains(start) && $0.contains(end) })
        #expect(taken.allSatisfy { end < $0.start || $0.start + $0.size - 1 < start })
        taken.append((start, size))
      } else {
        let piece = taken.remove(at: Int.random(in: taken.indices, using: &random))
        space.release(piece.start, piece.size)
      }
    }
    for piece in taken { space.release(piece.start, piece.size) }
    #expect(space.free == untouched)
  }
}
