/// A set of an image's 4 KiB pages: a bit for each.
struct PageMap {
  let bits: UnsafeMutablePointer<UInt8>

  @inline(__always)
  func contains(_ page: Int) -> Bool { bits[page >> 3] & 1 << UInt8(page & 7) != 0 }

  @inline(__always)
  func insert(_ page: Int) { bits[page >> 3] |= 1 << UInt8(page & 7) }

  @inline(__always)
  func remove(_ page: Int) { bits[page >> 3] &= ~(1 << UInt8(page & 7)) }

  /// Whether every page of a range is in the set.
  @inline(__always)
  func containsAll(_ pages: Range<Int>) -> Bool {
    runEnd(from: pages.lowerBound, to: pages.upperBound, true) == pages.upperBound
  }

  /// The first page from `start` on, before `end`, whose membership is not `isMember`; `end` when there is
  /// none.
  @inline(__always)
  func runEnd(from start: Int, to end: Int, _ isMember: Bool) -> Int {
    let uniform: UInt8 = isMember ? 0xff : 0
    var page = start
    while page < end {
      if page & 7 == 0, end - page >= 8, bits[page >> 3] == uniform {
        page += 8
      } else if contains(page) == isMember {
        page += 1
      } else {
        return page
      }
    }
    return page
  }
}
