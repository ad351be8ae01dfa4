import Format

/// The log of moved blocks. Its log writes form no chain: a block in them becomes reachable when its map entry
/// is changed.
///
/// Owns two heads, each with a segment of its own: one for blocks whose contents are old, one for the others,
/// so that what will live on does not lie among what will soon be dead. Owns the count of log writes under way
/// too.
final class CleanerLog {
  private let cache: Cache
  private let volume: Volume
  private let errors: Errors
  private let segments: SegmentTable
  private let writes: LogWrites
  private let space: Space

  /// Heads, by whether they are for old blocks.
  private var young = HeadPosition()
  private var old = HeadPosition()
  /// The sequence number of the next log write, of either head.
  private var sequence: UInt64 = 1
  private(set) var writesInFlight = 0
  /// Blocks moved since the mount.
  private(set) var blockCount: UInt64 = 0

  /// Segments that the two heads may begin for the blocks of one victim, beyond those that the blocks fill.
  static let segmentsBegun = 2
  /// Blocks of a log write, at most.
  private static let blocksPerWrite = 128

  init(
    cache: Cache, volume: Volume, errors: Errors, segments: SegmentTable, writes: LogWrites, space: Space
  ) {
    self.cache = cache
    self.volume = volume
    self.errors = errors
    self.segments = segments
    self.writes = writes
    self.space = space
  }

  /// After a mount: sets the sequence number of the first log write.
  func begin(sequence: UInt64) { self.sequence = sequence }

  /// Writes blocks, all old or all young, in as many log writes as they need.
  /// - Parameter moves: what is left of it when there is no room is not written.
  /// - Returns: false when there is no room.
  func write(_ moves: inout [Move], isOld: Bool) -> Bool {
    while !moves.isEmpty {
      let isWritten = isOld ? writeOnce(&moves, at: &old) : writeOnce(&moves, at: &young)
      guard isWritten else { return false }
    }
    return true
  }

  private func writeOnce(_ moves: inout [Move], at head: inout HeadPosition) -> Bool {
    guard makeRoom(at: &head), let segment = head.segment else { return false }
    let header = cache.takeBuffer()
    guard header != .none else { return false }
    let index = writes.take(.cleaner)
    let write = writes[index]
    let address = volume.geometry.segmentBlock(segment) + UInt64(head.offset)
    writes.place(index, segment: segment, at: address)
    writes.append(header, to: index)
    var writer = LogHeaderWriter(cache.page(header))
    var taken = 0
    while taken < moves.count, writer.hasRoom, write.count < Self.blocksPerWrite,
      Int(head.offset) + write.count < Int(volume.geometry.segmentBlocks)
    {
      var move = moves[taken]
      taken += 1
      move.to = address + UInt64(write.count)
      writes.append(move.frame, to: index)
      writer.add(
        OwnerRun(kind: .data, number: move.inode, generation: move.generation, index: move.index),
        checksum: move.checksum)
      writes.add(move, to: index)
    }
    moves.removeFirst(taken)
    seal(&writer, index, address)
    head.offset += UInt32(truncatingIfNeeded: write.count)
    return true
  }

  /// Makes sure that a log write of at least one block fits at a head, in a new segment where it must.
  private func makeRoom(at head: inout HeadPosition) -> Bool {
    guard head.segment == nil || head.offset + 2 > volume.geometry.segmentBlocks else { return true }
    guard segments.freeCount > space.segmentDemand(), let segment = segments.take() else { return false }
    if let full = head.segment { segments.close(full) }
    head.segment = segment
    head.offset = 0
    return true
  }

  private func seal(_ writer: inout LogHeaderWriter, _ index: Int, _ address: UInt64) {
    let write = writes[index]
    var header = LogHeader()
    header.head = .cleaner
    header.sequence = sequence
    header.epoch = writes.epoch
    header.address = address
    _ = writer.finish(
      header, inline: UnsafeRawBufferPointer(start: nil, count: 0), recordBytes: 0, nonce: volume.nonce,
      checksum: volume.checksum)
    sequence += 1
    writesInFlight += 1
    segments.wrote(write.segment)
    writes.submit(index)
  }

  /// A log write has ended.
  /// - Returns: the blocks that lie at their new addresses now; none when it failed.
  func writeEnded(_ index: Int, _ code: Int32) -> [Move] {
    let write = writes[index]
    defer { writes.release(index) }
    writesInFlight -= 1
    blockCount += UInt64(write.moves.count)
    guard code == 0 else {
      errors.record(
        .write, "the cleaner could not write (\(ErrnoText.of(code))); what it moved stays where it was",
        block: write.place, count: write.count, code: code)
      leave(write.segment, &young)
      leave(write.segment, &old)
      return []
    }
    segments.wrote(write.segment)
    return write.moves
  }

  /// After a failed log write: the head goes on in another segment.
  private func leave(_ segment: UInt32, _ head: inout HeadPosition) {
    guard head.segment == segment else { return }
    segments.close(segment)
    head.segment = nil
  }

  // MARK: Invariants

  func checkInvariants(_ invariants: inout Invariants) {
    for segment in [young.segment, old.segment].compactMap({ $0 }) {
      invariants.expect(segments.isOpen(Int(segment)), "the cleaner's segment is not open")
    }
    invariants.expect(
      young.segment == nil || young.segment != old.segment, "both heads of the cleaner write one segment")
  }
}
