import Format

/// The segments that the log after a checkpoint lies in.
enum LogChain {
  /// The segment of the next header, and the segment after that.
  static func ends(of pack: CheckpointPack, _ geometry: Geometry) -> Set<UInt32> {
    var segments: Set<UInt32> = [pack.log.nextSegment]
    if let segment = geometry.segment(of: pack.log.block) { segments.insert(segment) }
    return segments
  }

  /// All segments up to the end of the chain, followed header by header as recovery does.
  static func segments(of check: Check) -> Set<UInt32> {
    let geometry = check.geometry
    var segments = ends(of: check.pack, geometry)
    var position = check.pack.log
    let buffer = PageBuffer()
    while let segment = geometry.segment(of: position.block),
      check.reader.read(block: position.block, count: 1, into: buffer.page.base).isEmpty,
      let header = LogHeader(
        decoding: buffer.page, address: position.block, nonce: check.superblock.nonce,
        checksum: check.checksum),
      header.head == .foreground, header.sequence == position.sequence, header.epoch == check.pack.epoch,
      header.previousChecksum == position.previousChecksum, header.nextSegment < geometry.segmentCount
    {
      segments.formUnion([segment, header.nextSegment])
      let behind = position.block + 1 + UInt64(header.blockCount)
      let end = geometry.segmentBlock(segment) + UInt64(geometry.segmentBlocks)
      let leaves = header.flags & LogHeader.leavesSegment != 0 || behind >= end
      position.block = leaves ? geometry.segmentBlock(header.nextSegment) : behind
      position.sequence &+= 1
      position.previousChecksum = header.checksum
    }
    return segments
  }
}
