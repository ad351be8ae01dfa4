import Format

/// Which blocks of the segments are referred to, and how many in each segment.
///
/// A bit for each block, kept only for segments with live blocks: 32 MiB for a full TiB.
final class BlockClaims {
  private let geometry: Geometry
  private var bitmaps: [UInt32: UnsafeMutablePointer<UInt64>] = [:]
  /// Blocks referred to, by segment.
  private(set) var live: [UInt32]
  /// Blocks referred to in all segments.
  private(set) var total: UInt64 = 0

  private var words: Int { Int(geometry.segmentBlocks) / 64 }

  init(geometry: Geometry) {
    self.geometry = geometry
    live = Array(repeating: 0, count: Int(geometry.segmentCount))
  }

  deinit { for bitmap in bitmaps.values { bitmap.deallocate() } }

  enum Outcome { case claimed, alreadyClaimed, outside }

  private func bitmap(_ segment: UInt32) -> UnsafeMutablePointer<UInt64> {
    if let bitmap = bitmaps[segment] { return bitmap }
    let bitmap = UnsafeMutablePointer<UInt64>.allocate(capacity: words)
    bitmap.initialize(repeating: 0, count: words)
    bitmaps[segment] = bitmap
    return bitmap
  }

  /// Records a reference to `block`.
  func claim(_ block: UInt64) -> Outcome {
    guard let segment = geometry.segment(of: block) else { return .outside }
    let index = Int(block - geometry.segmentBlock(segment))
    let bitmap = bitmap(segment)
    let bit = UInt64(1) << UInt64(index % 64)
    guard bitmap[index / 64] & bit == 0 else { return .alreadyClaimed }
    bitmap[index / 64] |= bit
    live[Int(segment)] += 1
    total += 1
    return .claimed
  }

  /// Removes the reference to `block`.
  func release(_ block: UInt64) {
    guard let segment = geometry.segment(of: block), let bitmap = bitmaps[segment] else { return }
    let index = Int(block - geometry.segmentBlock(segment))
    let bit = UInt64(1) << UInt64(index % 64)
    guard bitmap[index / 64] & bit != 0 else { return }
    bitmap[index / 64] &= ~bit
    live[Int(segment)] -= 1
    total -= 1
  }
}
