import Format

/// Follows the log from the checkpoint on, header by header, until it ends.
///
/// Owns the log writes found and the position in the log. It follows addresses. The log ends where a header
/// is missing, or at a log write that was not recorded as flushed and does not match its checksums. Where a
/// header is missing, later headers are searched for: one that records the missing log write as flushed shows
/// that this is damage and not the end, and then the mount is refused, because synced data would be missing.
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
  /// The checkpoint was the last before an unmount: no log follows it.
  private var isClean = false
  private var next = LogPosition()
  /// The header whose record blocks are being read.
  private var header: LogHeader?
  /// Where log writes after the end of the chain are searched for.
  private var search: LogEndSearch?
  private var verifyIndex = 0
  private var verifyBlock = 0
  /// The log writes of the chain as far as it was followed.
  private(set) var entries: [ReplayEntry] = []

  /// - Parameter last: the last log write that is followed; only fsck.varve limits it.
  init(reads: MountReads, condition: Condition, volume: Volume, last: UInt64) {
    self.reads = reads
    self.condition = condition
    self.volume = volume
    self.last = last
  }

  /// Begins with the log after a checkpoint.
  func begin(from pack: CheckpointPack) {
    next = pack.log
    epoch = pack.epoch
    isClean = pack.flags & CheckpointPack.cleanFlag != 0
  }

  /// Whether the log has been read to its end.
  var isDone: Bool { phase == .done }

  /// Reads one more header, or a few blocks.
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
    let geometry = volume.geometry
    guard reads.code(0) == 0,
      let header = LogHeader(
        decoding: reads.page(0), address: next.block, nonce: volume.nonce, checksum: volume.checksum),
      header.head == .foreground, header.sequence == next.sequence, header.epoch == epoch,
      header.previousChecksum == next.previousChecksum, header.nextSegment < geometry.segmentCount,
      let segment = geometry.segment(of: next.block),
      next.block + 1 + UInt64(header.blockCount) <= geometry.segmentBlock(segment)
        + UInt64(geometry.segmentBlocks)
    else { return endChain() }
    self.header = header
    if header.recordBlocks > 0 { phase = .records } else { add(header, records: header.inlineRecords) }
  }

  private func readRecords() {
    guard let header else { return }
    guard reads.fetch((0..<UInt64(header.recordBlocks)).map { header.address + 1 + $0 }) else { return }
    defer { reads.end() }
    var records = header.inlineRecords
    for index in 0..<Int(header.recordBlocks) {
      let page = reads.page(index)
      guard volume.checksum.of(page) == header.checksums[index] else {
        next.nextSegment = header.nextSegment
        return endChain()
      }
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

  /// Blocks read at the same time.
  private static let blocksAtATime = 128

  /// Begins to search for log writes after the one that is missing.
  private func endChain() {
    search = isClean ? nil : LogEndSearch(after: next, epoch: epoch, geometry: volume.geometry)
    phase = search == nil ? .verify : .beyond
  }

  /// Searches some blocks for a header that records the missing log write as flushed.
  private func lookBeyond() {
    guard let blocks = search?.nextBlocks(atMost: UInt64(Self.blocksAtATime)), !blocks.isEmpty else {
      return phase = .verify
    }
    guard reads.fetch(Array(blocks)) else { return }
    defer { reads.end() }
    for (index, block) in blocks.enumerated() {
      let header = LogHeader(
        decoding: reads.page(index), address: block, nonce: volume.nonce, checksum: volume.checksum)
      guard let header, search?.examine(header) == .isDamage else { continue }
      return condition.refuse(
        "the log is damaged at block \(next.block), and synced data follows it; run fsck.varve",
        replayableThrough: next.sequence - 1)
    }
    search?.advance(by: blocks.count)
  }

  /// Reads the blocks of log writes that are not recorded as flushed; the first that does not match its
  /// checksums ends the log.
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

  /// Releases the entries, which `Replay` has taken over.
  func forget() { entries = [] }
}

/// A log write that recovery applies.
struct ReplayEntry {
  var header: LogHeader
  /// The records from the header and the record blocks, joined.
  var records: [UInt8]
}
