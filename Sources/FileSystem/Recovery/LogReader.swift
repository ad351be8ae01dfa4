import Format

/// Follows the log from the checkpoint on, header by header, until it ends.
///
/// Owns what was found of the log. Addresses are followed. The end is where a header is missing, or where a
/// log write that was not known to be flushed does not match its checksums. Where a header is missing, those
/// behind it are looked for: one that knows the missing one to have been flushed shows that this is no end
/// but damage, and nothing is mounted that lacks what was synced.
///
///     headers ◀─▶ records
///        └──▶ beyond ─▶ verify ─▶ done
final class LogReader {
  private enum Phase { case headers, records, beyond, verify, done }

  private let condition: Condition
  private let volume: Volume
  private let reads: MountReads
  /// The last log write that is followed.
  private let last: UInt64
  private var phase = Phase.headers
  private var epoch: UInt32 = 0
  /// The checkpoint says that nothing follows it.
  private var isClean = false
  private var next = LogPosition()
  /// The header whose record blocks are being read.
  private var header: LogHeader?
  /// Blocks beyond the end of the chain that were looked at.
  private var blocksBeyond = 0
  private var verifyIndex = 0
  private var verifyBlock = 0
  /// The chain as far as it was followed.
  private(set) var entries: [ReplayEntry] = []

  /// - Parameter last: the last log write that is followed, which only fsck.varve sets.
  init(reads: MountReads, condition: Condition, volume: Volume, last: UInt64) {
    self.reads = reads
    self.condition = condition
    self.volume = volume
    self.last = last
  }

  /// The log goes on from a checkpoint.
  func begin(from pack: CheckpointPack) {
    next = pack.log
    epoch = pack.epoch
    isClean = pack.flags & CheckpointPack.cleanFlag != 0
  }

  /// The log was read to its end.
  var isDone: Bool { phase == .done }

  /// Looks at one more header, or at a few blocks.
  func step() {
    switch phase {
    case .headers: readHeader()
    case .records: readRecords()
    case .beyond: lookBeyond()
    case .verify: verify()
    case .done: break
    }
  }

  private func readHeader() {
    guard next.sequence <= last else { return phase = .verify }
    guard reads.fetch([next.block]) else { return }
    defer { reads.end() }
    if reads.readsAgain() { return }
    let geometry = volume.geometry
    guard reads.code(0) == 0,
      let header = LogHeader(
        decoding: reads.page(0), address: next.block, nonce: volume.nonce, checksum: volume.checksum),
      header.head == .foreground, header.sequence == next.sequence, header.epoch == epoch,
      header.previousChecksum == next.previousChecksum, header.nextSegment < geometry.segmentCount,
      let segment = geometry.segment(of: next.block),
      next.block + 1 + UInt64(header.blockCount) <= geometry.segmentBlock(segment)
        + UInt64(geometry.segmentBlocks)
    else { return phase = .beyond }
    self.header = header
    if header.recordBlocks > 0 { phase = .records } else { add(header, records: header.inlineRecords) }
  }

  private func readRecords() {
    guard let header else { return }
    guard reads.fetch((0..<UInt64(header.recordBlocks)).map { header.address + 1 + $0 }) else { return }
    defer { reads.end() }
    if reads.readsAgain() { return }
    var records = header.inlineRecords
    for index in reads.frames.indices {
      let page = reads.page(index)
      guard volume.checksum.of(page) == header.checksums[index] else { return phase = .beyond }
      records.append(contentsOf: page.bytes(at: 0, count: Page.size))
    }
    phase = .headers
    add(header, records: Array(records.prefix(Int(header.recordBytes))))
  }

  private func add(_ header: LogHeader, records: [UInt8]) {
    entries.append(ReplayEntry(header: header, records: records))
    next.sequence += 1
    next.previousChecksum = header.checksum
    guard let segment = volume.geometry.segment(of: header.address) else { return }
    let end = volume.geometry.segmentBlock(segment) + UInt64(volume.geometry.segmentBlocks)
    let behind = header.address + 1 + UInt64(header.blockCount)
    let leaves = header.flags & LogHeader.leavesSegment != 0 || behind >= end
    next.block = leaves ? volume.geometry.segmentBlock(header.nextSegment) : behind
    next.nextSegment = header.nextSegment
  }

  /// Blocks looked at together.
  private static let blocksAtATime = 128

  /// Looks at the rest of the segment where the chain ends, and where it would go from there, for a header
  /// that knows the missing one to have been flushed.
  private func lookBeyond() {
    let geometry = volume.geometry
    let end = geometry.segment(of: next.block).map {
      geometry.segmentBlock($0) + UInt64(geometry.segmentBlocks)
    }
    guard !isClean, let end, end > next.block else { return phase = .verify }
    // The block behind the segment stands for the next one's first.
    let first = next.block + 1 + UInt64(blocksBeyond)
    let range = first...min(first + UInt64(Self.blocksAtATime) - 1, max(end, first))
    let isNextKnown = next.nextSegment < geometry.segmentCount
    let blocks = range.map { $0 == end && isNextKnown ? geometry.segmentBlock(next.nextSegment) : $0 }
    guard reads.fetch(blocks) else { return }
    defer { reads.end() }
    for (index, block) in blocks.enumerated() {
      let header = LogHeader(
        decoding: reads.page(index), address: block, nonce: volume.nonce, checksum: volume.checksum)
      guard let header, header.head == .foreground, header.epoch == epoch,
        header.sequence > next.sequence, header.flushedThrough >= next.sequence
      else { continue }
      return condition.refuse(
        "the log is damaged at block \(next.block), and behind that lies what was synced; run fsck.varve",
        replayableThrough: next.sequence - 1)
    }
    blocksBeyond += blocks.count
    if range.upperBound >= end { phase = .verify }
  }

  /// Reads the data of log writes that were not known to be flushed; the first that does not match ends the
  /// log.
  private func verify() {
    let flushed = entries.last?.header.flushedThrough ?? 0
    while verifyIndex < entries.count,
      entries[verifyIndex].header.sequence <= flushed || verifyBlock >= entries[verifyIndex].header.blockCount
    {
      verifyIndex += 1
      verifyBlock = 0
    }
    guard verifyIndex < entries.count else { return phase = .done }
    let header = entries[verifyIndex].header
    let range = verifyBlock..<min(verifyBlock + Self.blocksAtATime, header.blockCount)
    guard reads.fetch(range.map { header.address + 1 + UInt64($0) }) else { return }
    defer { reads.end() }
    let matches = range.allSatisfy {
      reads.code($0 - range.lowerBound) == 0
        && volume.checksum.of(reads.page($0 - range.lowerBound)) == header.checksums[$0]
    }
    if matches {
      verifyBlock = range.upperBound
    } else {
      entries.removeSubrange(verifyIndex...)
      phase = .done
    }
  }

  /// The entries have been applied.
  func forget() { entries = [] }
}

/// A log write that recovery will apply.
struct ReplayEntry {
  var header: LogHeader
  /// Header's and record blocks' records, joined.
  var records: [UInt8]
}
