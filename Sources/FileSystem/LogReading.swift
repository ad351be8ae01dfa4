import Format

/// Following the log from the checkpoint on, header by header, until it ends.
///
/// Addresses are followed. The end is where a header is missing, or where a log write that was not known to be flushed does
/// not match its checksums. Where a header is missing, those behind it are looked for: one that knows the missing one to
/// have been flushed shows that this is no end but damage, and nothing is mounted that lacks what was synced.
extension FileSystem {
  /// How often a block of the log, or a checkpoint, is read again when it cannot be read.
  private static let readRetries = 3

  func mountHeader() {
    let position = mounting.next
    guard position.sequence <= options.replaysThrough else {
      mounting.phase = .verify
      return
    }
    guard fetch([position.block]) else { return }
    defer { endFetch() }
    if readsAgain() { return }
    let page = cache.page(mounting.frames[0])
    guard mounting.errors[0] == 0,
      let header = LogHeader(decoding: page, address: position.block, nonce: nonce, checksum: checksum),
      header.head == .foreground, header.sequence == position.sequence, header.epoch == mounting.pack.epoch,
      header.previousChecksum == position.previousChecksum, header.nextSegment < geometry.segmentCount,
      let segment = geometry.segment(of: position.block),
      position.block + 1 + UInt64(header.blockCount) <= geometry.segmentBlock(segment)
        + UInt64(geometry.segmentBlocks)
    else {
      mounting.phase = .beyond
      return
    }
    mounting.header = header
    if header.recordBlocks > 0 {
      mounting.phase = .records
    } else {
      addEntry(header, records: header.inlineRecords)
    }
  }

  func mountRecords() {
    guard let header = mounting.header else { return }
    guard fetch((0..<UInt64(header.recordBlocks)).map { header.address + 1 + $0 }) else { return }
    defer { endFetch() }
    if readsAgain() { return }
    var records = header.inlineRecords
    for (index, frame) in mounting.frames.enumerated() {
      let page = cache.page(frame)
      guard checksum.of(page) == header.checksums[index] else {
        mounting.phase = .beyond
        return
      }
      records.append(contentsOf: page.bytes(at: 0, count: Page.size))
    }
    mounting.phase = .headers
    addEntry(header, records: Array(records.prefix(Int(header.recordBytes))))
  }

  /// Whether what was to be read is to be read once more, because of an error that may pass.
  func readsAgain() -> Bool {
    guard mounting.errors.contains(where: { $0 != 0 }), mounting.retries < Self.readRetries else {
      mounting.retries = 0
      return false
    }
    mounting.retries += 1
    return true
  }

  /// Looks at the rest of the segment where the chain ends, and where it would go from there, for a header that knows the
  /// missing one to have been flushed.
  func mountBeyond() {
    let missing = mounting.next
    let end = geometry.segment(of: missing.block).map {
      geometry.segmentBlock($0) + UInt64(geometry.segmentBlocks)
    }
    guard mounting.pack.flags & CheckpointPack.cleanFlag == 0, let end, end > missing.block else {
      mounting.phase = .verify
      return
    }
    // The block behind the segment stands for the next one's first.
    let first = missing.block + 1 + UInt64(mounting.blocksBeyond)
    let range = first...min(first + 127, max(end, first))
    let isNextKnown = missing.nextSegment < geometry.segmentCount
    let blocks = range.map { $0 == end && isNextKnown ? geometry.segmentBlock(missing.nextSegment) : $0 }
    guard fetch(blocks) else { return }
    defer { endFetch() }
    for (block, frame) in zip(blocks, mounting.frames) {
      let header = LogHeader(
        decoding: cache.page(frame), address: block, nonce: nonce, checksum: checksum)
      guard let header, header.head == .foreground, header.epoch == mounting.pack.epoch,
        header.sequence > missing.sequence, header.flushedThrough >= missing.sequence
      else { continue }
      replayableThrough = missing.sequence - 1
      failure =
        "the log is damaged at block \(missing.block), and behind that lies what was synced; run fsck.varve"
      return
    }
    mounting.blocksBeyond += blocks.count
    if range.upperBound >= end { mounting.phase = .verify }
  }

  private func addEntry(_ header: LogHeader, records: [UInt8]) {
    mounting.entries.append(ReplayEntry(header: header, records: records))
    mounting.next.sequence += 1
    mounting.next.previousChecksum = header.checksum
    guard let segment = geometry.segment(of: header.address) else { return }
    let end = geometry.segmentBlock(segment) + UInt64(geometry.segmentBlocks)
    let behind = header.address + 1 + UInt64(header.blockCount)
    let leaves = header.flags & LogHeader.leavesSegment != 0 || behind >= end
    mounting.next.block = leaves ? geometry.segmentBlock(header.nextSegment) : behind
    mounting.next.nextSegment = header.nextSegment
  }

  /// Reads the data of log writes that were not known to be flushed; the first that does not match ends the log.
  func mountVerify() {
    let flushed = mounting.entries.last?.header.flushedThrough ?? 0
    while mounting.verifyIndex < mounting.entries.count,
      mounting.entries[mounting.verifyIndex].header.sequence <= flushed
        || mounting.verifyBlock >= mounting.entries[mounting.verifyIndex].header.blockCount
    {
      mounting.verifyIndex += 1
      mounting.verifyBlock = 0
    }
    guard mounting.verifyIndex < mounting.entries.count else { return beginReplay() }
    let header = mounting.entries[mounting.verifyIndex].header
    let end = min(mounting.verifyBlock + 128, header.blockCount)
    let range = mounting.verifyBlock..<end
    guard fetch(range.map { header.address + 1 + UInt64($0) }) else { return }
    defer { endFetch() }
    let matches = range.allSatisfy {
      mounting.errors[$0 - range.lowerBound] == 0
        && checksum.of(cache.page(mounting.frames[$0 - range.lowerBound])) == header.checksums[$0]
    }
    if matches {
      mounting.verifyBlock = end
    } else {
      mounting.entries.removeSubrange(mounting.verifyIndex...)
      beginReplay()
    }
  }

  private func beginReplay() {
    mounting.phase = .apply
    holdLog()
  }
}
