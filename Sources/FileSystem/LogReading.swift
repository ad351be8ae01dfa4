import Format

/// Following the log from the checkpoint on, header by header, until it ends.
///
/// Addresses are followed and nothing is searched for. The end is where a header is missing, or where a log write that was
/// not known to be flushed does not match its checksums; below that it is damage.
extension FileSystem {
  func mountHeader() {
    let position = mounting.next
    guard fetch([position.block]) else { return }
    defer { endFetch() }
    let page = cache.page(mounting.frames[0])
    guard mounting.errors[0] == 0,
      let header = LogHeader(decoding: page, address: position.block, nonce: nonce, checksum: checksum),
      header.head == .foreground, header.sequence == position.sequence, header.epoch == mounting.pack.epoch,
      header.previousChecksum == position.previousChecksum, header.nextSegment < geometry.segmentCount,
      let segment = geometry.segment(of: position.block),
      position.block + 1 + UInt64(header.blockCount) <= geometry.segmentBlock(segment)
        + UInt64(geometry.segmentBlocks)
    else {
      mounting.phase = .verify
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
    var records = header.inlineRecords
    for (index, frame) in mounting.frames.enumerated() {
      let page = cache.page(frame)
      guard checksum.of(page) == header.checksums[index] else {
        // Headers after this one are not followed: whether the log ends here is decided by what was flushed.
        mounting.phase = .verify
        return
      }
      records.append(contentsOf: page.bytes(at: 0, count: Page.size))
    }
    mounting.phase = .headers
    addEntry(header, records: Array(records.prefix(Int(header.recordBytes))))
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
    guard mounting.verifyIndex < mounting.entries.count else {
      mounting.phase = .apply
      return
    }
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
      mounting.phase = .apply
    }
  }
}
