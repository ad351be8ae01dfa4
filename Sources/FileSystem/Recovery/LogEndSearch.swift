import Format

/// Where later log writes are searched for, after a block at which the chain does not continue.
///
/// Owns the place of the search and what was found. A log write that is missing may never have been written: then
/// the log ends there. Or it was durable and its block is damaged: then a later header may record it as flushed.
/// The later ones lie where the chain would have gone, so the rest of the segment is searched, then whole segments,
/// each named as the next by the headers of the one before. The search ends at a segment without a later header:
/// no segment is searched twice, since each must lead to a higher sequence number.
struct LogEndSearch {
  /// What a header says about the missing log write.
  enum Finding { case nothing, isDamage }

  private let geometry: Geometry
  private let epoch: UInt32
  /// The sequence number of the missing log write.
  private let missing: UInt64
  /// The next block to search, and the end of its segment.
  private var block: UInt64
  private var end: UInt64
  /// The segment in which the chain goes on from the one that is searched.
  private var following: UInt32
  /// The highest sequence number found.
  private var latest: UInt64
  /// Whether the chain reaches the next segment, as far as is known.
  private var reachesNext = true

  /// - Returns: nil when the chain's position is outside of all segments.
  init?(after position: LogPosition, epoch: UInt32, geometry: Geometry) {
    guard let segment = geometry.segment(of: position.block) else { return nil }
    self.geometry = geometry
    self.epoch = epoch
    missing = position.sequence
    latest = position.sequence
    block = position.block + 1
    end = geometry.segmentBlock(segment) + UInt64(geometry.segmentBlocks)
    following = position.nextSegment
  }

  /// The blocks to search next, at most `count`; empty when the search has ended.
  mutating func nextBlocks(atMost count: UInt64) -> Range<UInt64> {
    if block >= end { enterNextSegment() }
    return block..<min(block + count, end)
  }

  private mutating func enterNextSegment() {
    guard reachesNext, following < geometry.segmentCount else { return }
    let start = geometry.segmentBlock(following)
    // Of a segment's first log write the chain knows only that segment; the segment's later headers name the next.
    guard start + UInt64(geometry.segmentBlocks) != end else { return }
    block = start
    end = start + UInt64(geometry.segmentBlocks)
    reachesNext = false
  }

  /// Counts blocks as searched.
  mutating func advance(by count: Int) { block += UInt64(count) }

  /// Looks at a header found.
  mutating func examine(_ header: LogHeader) -> Finding {
    guard header.head == .foreground, header.epoch == epoch, header.sequence > missing else {
      return .nothing
    }
    if header.flushedThrough >= missing { return .isDamage }
    if header.sequence > latest {
      latest = header.sequence
      following = header.nextSegment
      reachesNext = true
    }
    return .nothing
  }
}
