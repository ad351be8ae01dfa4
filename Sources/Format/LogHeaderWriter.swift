/// Builds a header in place, without allocating: runs and checksums are collected in the block itself.
///
/// Order of use: `begin`, `add` for every block, `records`, `finish`. Checksums are kept at the end of the
/// block while runs grow, and moved after the runs by `finish`.
public struct LogHeaderWriter {
  private let page: Page
  private var runCount = 0
  private var last = OwnerRun(kind: .records, number: 0, count: 0)
  /// Blocks added so far.
  public private(set) var blockCount = 0
  private var recordBlocks = 0

  /// Begins a header in `page`, which is cleared.
  public init(_ page: Page) {
    self.page = page
    page.clear()
  }

  /// Bytes of room left for runs, checksums and records.
  public var room: Int { LogHeader.room - runCount * OwnerRun.size - blockCount * 4 }

  /// Whether one more block of any owner fits.
  public var hasRoom: Bool { room >= OwnerRun.size + 4 }

  /// Adds a block of records. Record blocks come before all others.
  public mutating func addRecordBlock(checksum: UInt32) {
    recordBlocks += 1
    push(checksum)
  }

  /// Adds a block of `owner` (count 1) with its checksum. The caller has checked `hasRoom`.
  public mutating func add(_ owner: OwnerRun, checksum: UInt32) {
    if runCount > 0, last.continues(with: owner) {
      last.count += 1
    } else {
      runCount += 1
      last = owner
    }
    store(last, at: runCount - 1)
    push(checksum)
  }

  private mutating func push(_ checksum: UInt32) {
    blockCount += 1
    page.store(checksum, at: Page.size - 4 * blockCount)
  }

  private func store(_ run: OwnerRun, at index: Int) {
    let at = LogHeader.fixedSize + index * OwnerRun.size
    page.store(
      (run.number & Entry.maximumAddress) | UInt64(run.kind.rawValue) << 56,
      at: at + OwnerRun.fields.number.offset)
    page.store(run.generation, OwnerRun.fields.generation, of: at)
    page.store(run.count, OwnerRun.fields.count, of: at)
    page.store(run.index, OwnerRun.fields.index, of: at)
  }

  /// Finishes the header: its fields (of `header`; its lists are ignored), and the record bytes that go into
  /// it.
  /// - Parameters:
  ///   - inline: the first record bytes, at most `room` of them.
  ///   - recordBytes: all record bytes, those in record blocks included.
  /// - Returns: the header's checksum.
  public mutating func finish(
    _ header: LogHeader, inline: UnsafeRawBufferPointer, recordBytes: Int, nonce: Nonce,
    checksum seeded: Checksum
  ) -> UInt32 {
    reverseChecksums()
    let start = LogHeader.fixedSize + runCount * OwnerRun.size
    page.move(from: Page.size - 4 * blockCount, to: start, count: 4 * blockCount)
    page.clear(at: start + 4 * blockCount)
    page.copy(inline, at: start + 4 * blockCount)
    page.store(LogHeader.magic, LogHeader.fields.magic)
    nonce.store(page, at: LogHeader.fields.nonce.offset)
    page.store(header.sequence, LogHeader.fields.sequence)
    page.store(header.epoch, LogHeader.fields.epoch)
    page.store(header.previousChecksum, LogHeader.fields.previousChecksum)
    page.store(header.flushedThrough, LogHeader.fields.flushedThrough)
    page.store(header.nextSegment, LogHeader.fields.nextSegment)
    page.store(UInt32(truncatingIfNeeded: recordBytes), LogHeader.fields.recordBytes)
    page.store(header.address, LogHeader.fields.address)
    page.store(header.head.rawValue, LogHeader.fields.head)
    page.store(header.flags, LogHeader.fields.flags)
    page.store(UInt16(truncatingIfNeeded: blockCount), LogHeader.fields.blockCount)
    page.store(UInt16(truncatingIfNeeded: runCount), LogHeader.fields.runCount)
    page.store(UInt16(truncatingIfNeeded: recordBlocks), LogHeader.fields.recordBlocks)
    page.store(UInt16(truncatingIfNeeded: inline.count), LogHeader.fields.inlineRecordBytes)
    let sum = seeded.of(page.bytes(at: 0, count: Page.size), except: LogHeader.fields.checksum.offset)
    page.store(sum, LogHeader.fields.checksum)
    return sum
  }

  /// The checksums were pushed downwards from the block's end: turns them into ascending order.
  private func reverseChecksums() {
    var low = Page.size - 4 * blockCount
    var high = Page.size - 4
    while low < high {
      let first: UInt32 = page.load(at: low)
      page.store(page.load(UInt32.self, at: high), at: low)
      page.store(first, at: high)
      low += 4
      high -= 4
    }
  }
}
