import Format

/// The log of a checkpoint's nodes and table blocks. Its log writes form no chain: the blocks in them are
/// found through the tables.
///
/// Owns two heads, each with a segment and a log write being filled: one for inodes, one for internal nodes
/// and table blocks. Most inodes stay as they were made, while directory leaves, maps and tables change with
/// each checkpoint: in segments of their own they leave little to move. Owns the count of log writes under way
/// too. Each block is copied when it is appended, so that the node may change at once.
final class NodeLog {
  private let cache: Cache
  private let event: Event
  private let volume: Volume
  private let errors: Errors
  private let segments: SegmentTable
  private let writes: LogWrites
  private struct Head {
    var position = HeadPosition()
    /// The log write being filled.
    var open: (index: Int, writer: LogHeaderWriter)?
  }

  private var inodes = Head()
  private var others = Head()
  /// The sequence number of the next log write, of either head.
  private var sequence: UInt64 = 1
  /// Log writes of nodes at the device; and the blocks in them and in the log write being filled.
  private(set) var writesInFlight = 0
  private(set) var blocksInFlight = 0

  init(
    cache: Cache, event: Event, volume: Volume, errors: Errors, segments: SegmentTable, writes: LogWrites
  ) {
    self.cache = cache
    self.event = event
    self.volume = volume
    self.errors = errors
    self.segments = segments
    self.writes = writes
  }

  /// After a mount: sets the sequence number of the first log write.
  func begin(sequence: UInt64) { self.sequence = sequence }

  /// Blocks in a log write of nodes, at most.
  private static let blocksPerWrite = 128

  /// Adds a copy of a block.
  /// - Returns: its address and checksum; nil when there is no room, which has ended all writing.
  func append(_ page: Page, _ run: OwnerRun, prepare: (Page) -> Void = { _ in }) -> (
    address: UInt64, checksum: UInt32
  )? {
    run.kind == .inode ? append(page, run, at: &inodes, prepare) : append(page, run, at: &others, prepare)
  }

  private func append(_ page: Page, _ run: OwnerRun, at head: inout Head, _ prepare: (Page) -> Void) -> (
    address: UInt64, checksum: UInt32
  )? {
    guard makeRoom(at: &head) else { return nil }
    let buffer = cache.takeBuffer()
    guard buffer != .none, var open = head.open else {
      errors.fail("no memory to write a node")
      return nil
    }
    let copy = cache.page(buffer)
    event.count(Work.copy + Work.checksum)
    copy.copy(page.bytes(at: 0, count: Page.size), at: 0)
    prepare(copy)
    let write = writes[open.index]
    let offset = UInt64(head.position.offset) + UInt64(write.count)
    let address = volume.geometry.segmentBlock(write.segment) + offset
    let sum = volume.checksum.of(copy)
    writes.append(buffer, to: open.index)
    blocksInFlight += 1
    open.writer.add(run, checksum: sum)
    head.open = open
    return (address, sum)
  }

  /// Makes sure that a log write is open and has room for one more block.
  private func makeRoom(at head: inout Head) -> Bool {
    let segmentBlocks = Int(volume.geometry.segmentBlocks)
    if let open = head.open {
      let count = writes[open.index].count
      if open.writer.hasRoom, Int(head.position.offset) + count < segmentBlocks, count < Self.blocksPerWrite {
        return true
      }
      seal(&head)
    }
    if head.position.segment == nil || Int(head.position.offset) + 2 > segmentBlocks {
      guard let segment = segments.take(for: segments.checkpointUnderWay) else {
        errors.failForWantOfSegments("no free segment for the nodes of a checkpoint")
        return false
      }
      if let old = head.position.segment { segments.close(old) }
      head.position.segment = segment
      head.position.offset = 0
    }
    let header = cache.takeBuffer()
    guard header != .none, let segment = head.position.segment else {
      errors.fail("no memory to write nodes")
      return false
    }
    let index = writes.take(.nodes)
    let address = volume.geometry.segmentBlock(segment) + UInt64(head.position.offset)
    writes.place(index, segment: segment, at: address)
    writes.append(header, to: index)
    blocksInFlight += 1
    head.open = (index, LogHeaderWriter(cache.page(header)))
    return true
  }

  /// Completes the open log writes and submits them.
  func seal() {
    seal(&inodes)
    seal(&others)
  }

  private func seal(_ head: inout Head) {
    guard var open = head.open else { return }
    head.open = nil
    let write = writes[open.index]
    var header = LogHeader()
    header.head = .nodes
    header.sequence = sequence
    header.epoch = writes.epoch
    header.address = volume.geometry.segmentBlock(write.segment) + UInt64(head.position.offset)
    _ = open.writer.finish(
      header, inline: UnsafeRawBufferPointer(start: nil, count: 0), recordBytes: 0, nonce: volume.nonce,
      checksum: volume.checksum)
    sequence += 1
    head.position.offset += UInt32(truncatingIfNeeded: write.count)
    writesInFlight += 1
    segments.wrote(write.segment, for: segments.checkpointUnderWay)
    writes.submit(open.index)
  }

  /// A log write of nodes has ended, with or without an error.
  func writeEnded(_ index: Int, _ code: Int32) {
    writesInFlight -= 1
    blocksInFlight -= writes[index].count
    guard code == 0 else {
      return errors.fail(
        "a checkpoint's nodes could not be written (\(ErrnoText.of(code)))", .write,
        block: writes[index].place,
        count: writes[index].count, code: code)
    }
    writes.release(index)
  }
}
