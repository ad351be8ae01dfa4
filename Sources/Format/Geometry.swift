/// Where the parts of a filesystem lie, in 4 KiB blocks.
///
///     0 | pack 0 A | pack 1 A | usage pairs | segment 0 … segment n-1 | pack 0 B | pack 1 B | unused | errors | last
///
/// Superblocks are the first and the last block. Each pack lies in two copies, A and B.
public struct Geometry: Sendable, Equatable {
  /// The size of the filesystem in blocks.
  public let blockCount: UInt64
  /// The size of a segment in blocks, a power of two.
  public let segmentBlocks: UInt32
  public let segmentCount: UInt32

  public static let minimumSegmentBlocks: UInt32 = 128
  public static let maximumSegmentBlocks: UInt32 = 8192
  public static let defaultSegmentBlocks: UInt32 = 2048
  public static let minimumSegments: UInt32 = 64
  /// 16 TiB.
  public static let maximumBlocks: UInt64 = 1 << 32
  /// Usage entries in a block.
  public static let usagePerBlock: UInt32 = 256

  /// Blocks in one copy of one pack.
  public var packBlocks: UInt64 {
    (UInt64(CheckpointPack.headerSize) + UInt64(usageBlocks) * 8 + UInt64(Page.size) - 1) / UInt64(Page.size)
  }

  /// Usage table blocks; each lies on disk as a pair of copies.
  public var usageBlocks: UInt32 { (segmentCount + Self.usagePerBlock - 1) / Self.usagePerBlock }

  /// The first usage pair.
  public var usageStart: UInt64 { 1 + 2 * packBlocks }

  /// The first block of segment 0.
  public var firstSegmentBlock: UInt64 { (usageStart + 2 * UInt64(usageBlocks) + 7) & ~7 }

  /// The block after the last segment.
  public var segmentEnd: UInt64 { firstSegmentBlock + UInt64(segmentCount) * UInt64(segmentBlocks) }

  /// The first block of copy `copy` (0 or 1) of pack `slot` (0 or 1).
  public func packBlock(slot: Int, copy: Int) -> UInt64 {
    (copy == 0 ? 1 : segmentEnd) + UInt64(slot & 1) * packBlocks
  }

  /// The block of copy `copy` (0 or 1) of usage block `index`.
  public func usageBlock(_ index: UInt32, copy: UInt32) -> UInt64 {
    usageStart + 2 * UInt64(index) + UInt64(copy & 1)
  }

  /// The block of the error record, the last but one; nil where a pack lies there, because the segments leave
  /// no block unused.
  public var errorBlock: UInt64? {
    blockCount >= segmentEnd + 2 * packBlocks + 2 ? blockCount - 2 : nil
  }

  /// The first block of segment `segment`.
  @inline(__always)
  public func segmentBlock(_ segment: UInt32) -> UInt64 {
    firstSegmentBlock + UInt64(segment) * UInt64(segmentBlocks)
  }

  /// The segment that holds `block`, nil for blocks outside of segments.
  @inline(__always)
  public func segment(of block: UInt64) -> UInt32? {
    guard block >= firstSegmentBlock, block < segmentEnd else { return nil }
    return UInt32((block - firstSegmentBlock) / UInt64(segmentBlocks))
  }

  /// The geometry of a superblock.
  public init(blockCount: UInt64, segmentBlocks: UInt32, segmentCount: UInt32) throws(FormatError) {
    try Self.check(blockCount: blockCount, segmentBlocks: segmentBlocks)
    self.blockCount = blockCount
    self.segmentBlocks = segmentBlocks
    self.segmentCount = segmentCount
    guard segmentCount >= Self.minimumSegments, segmentCount <= UInt32(Int32.max),
      segmentEnd + 2 * packBlocks < blockCount
    else {
      throw .badSize(
        "\(blockCount * 4) KiB are too few for \(Self.minimumSegments) segments of \(segmentBlocks * 4) KiB; "
          + "34 MiB is the least with the smallest segments")
    }
  }

  /// Refuses a number of blocks and a segment size that no geometry has.
  private static func check(blockCount: UInt64, segmentBlocks: UInt32) throws(FormatError) {
    guard blockCount <= maximumBlocks else { throw .badSize("a filesystem has at most 16 TiB") }
    guard segmentBlocks >= minimumSegmentBlocks, segmentBlocks <= maximumSegmentBlocks,
      segmentBlocks & (segmentBlocks - 1) == 0
    else { throw .badSize("a segment has 512 KiB to 32 MiB, a power of two") }
  }

  /// The geometry that mkfs chooses for `blockCount` blocks: as many segments as fit. Without a chosen
  /// segment size it is 8 MiB, or smaller so that there are at least 128 segments.
  public static func fitting(blockCount: UInt64, segmentBlocks chosen: UInt32? = nil) throws(FormatError)
    -> Geometry
  {
    var size = chosen ?? defaultSegmentBlocks
    if chosen == nil {
      while size > minimumSegmentBlocks, blockCount / UInt64(size) < 132 { size /= 2 }
    }
    try check(blockCount: blockCount, segmentBlocks: size)
    // The blocks outside of segments take the room of a few segments at most, so this ends soon.
    var count = UInt32(clamping: blockCount / UInt64(size))
    while count > minimumSegments {
      if let geometry = try? Geometry(blockCount: blockCount, segmentBlocks: size, segmentCount: count),
        geometry.errorBlock != nil
      {
        return geometry
      }
      count -= 1
    }
    return try Geometry(blockCount: blockCount, segmentBlocks: size, segmentCount: count)
  }
}
