/// Builds a header in place, without allocating: runs and checksums are collected in the block itself.
///
/// Order of use: `begin`, `add` for every block, `records`, `finish`. Checksums are kept at the end of the block
/// while runs grow, and moved behind the runs by `finish`.
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

  /// Adds a block of `owner` (count 1) with its checksum. The caller made sure of `hasRoom`.
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
    page.store((run.number & Entry.maximumAddress) | UInt64(run.kind.rawValue) << 56, at: at)
    page.store(run.generation, at: at + 8)
    page.store(run.count, at: at + 12)
    page.store(run.index, at: at + 16)
  }

  /// Finishes the header: its fields (of `header`; its lists are ignored), and the record bytes that go into it.
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
    page.store(LogHeader.magic, at: LogHeader.Field.magic)
    nonce.store(page, at: LogHeader.Field.nonce)
    page.store(header.sequence, at: LogHeader.Field.sequence)
    page.store(header.epoch, at: LogHeader.Field.epoch)
    page.store(header.previousChecksum, at: LogHeader.Field.previous)
    page.store(header.flushedThrough, at: LogHeader.Field.flushed)
    page.store(header.nextSegment, at: LogHeader.Field.nextSegment)
    page.store(UInt32(truncatingIfNeeded: recordBytes), at: LogHeader.Field.recordBytes)
    page.store(header.address, at: LogHeader.Field.address)
    page.store(header.head.rawValue, at: LogHeader.Field.head)
    page.store(header.flags, at: LogHeader.Field.flags)
    page.store(UInt16(truncatingIfNeeded: blockCount), at: LogHeader.Field.blockCount)
    page.store(UInt16(truncatingIfNeeded: runCount), at: LogHeader.Field.runCount)
    page.store(UInt16(truncatingIfNeeded: recordBlocks), at: LogHeader.Field.recordBlocks)
    page.store(UInt16(truncatingIfNeeded: inline.count), at: LogHeader.Field.inlineRecordBytes)
    let sum = seeded.of(page.bytes(at: 0, count: Page.size), except: LogHeader.Field.checksum)
    page.store(sum, at: LogHeader.Field.checksum)
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
