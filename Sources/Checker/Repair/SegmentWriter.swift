import Format

/// Writes the blocks changed by a repair as log writes into free segments, and nowhere else.
final class SegmentWriter {
  private let writer: any BlockWriter
  private let superblock: Superblock
  private let checksum: Checksum
  private let epoch: UInt32
  private var sequence: UInt64
  /// Free segments, the next one last.
  private var free: [UInt32]
  /// Segments written into.
  private(set) var used: Set<UInt32> = []
  private var segment: UInt32?
  /// The block of the header being filled, and how many blocks of its segment are left after it.
  private var headerBlock: UInt64 = 0
  private var roomBehind = 0
  private let headerPage = PageBuffer()
  private var header: LogHeaderWriter
  private var pending: [UInt8] = []

  init(_ writer: any BlockWriter, superblock: Superblock, free: [UInt32], sequence: UInt64, epoch: UInt32) {
    self.writer = writer
    self.superblock = superblock
    self.free = free.reversed()
    self.sequence = sequence
    self.epoch = epoch
    checksum = Checksum(nonce: superblock.nonce)
    header = LogHeaderWriter(headerPage.page)
  }

  /// Takes the next free segment.
  private func takeSegment() throws(RepairError) -> UInt32 {
    guard let taken = free.popLast() else { throw .noSpace }
    used.insert(taken)
    return taken
  }

  /// Adds a block to the log write being filled.
  /// - Returns: the entry that refers to it.
  func put(_ owner: OwnerRun, _ page: Page) throws(RepairError) -> Entry {
    if segment == nil || roomBehind == 0 || !header.hasRoom { try nextHeader() }
    let sum = checksum.of(page)
    let address = headerBlock + 1 + UInt64(header.blockCount)
    header.add(owner, checksum: sum)
    pending.append(contentsOf: page.bytes(at: 0, count: Page.size))
    roomBehind -= 1
    return Entry(address: address, checksum: sum)
  }

  private func nextHeader() throws(RepairError) {
    try finish()
    if segment == nil || roomBehind < 2 {
      let next = try takeSegment()
      segment = next
      headerBlock = superblock.geometry.segmentBlock(next)
      roomBehind = Int(superblock.geometry.segmentBlocks)
    }
    roomBehind -= 1
    header = LogHeaderWriter(headerPage.page)
  }

  /// Writes the blocks added since the last header, with their header.
  func finish() throws(RepairError) {
    guard header.blockCount > 0 else { return }
    let written = header.blockCount
    var fields = LogHeader()
    fields.head = .nodes
    fields.sequence = sequence
    fields.epoch = epoch
    fields.address = headerBlock
    _ = header.finish(
      fields, inline: UnsafeRawBufferPointer(start: nil, count: 0), recordBytes: 0, nonce: superblock.nonce,
      checksum: checksum)
    let bytes = Array(headerPage.page.bytes(at: 0, count: Page.size)) + pending
    try writer.writeAll(bytes, at: headerBlock)
    pending.removeAll(keepingCapacity: true)
    header = LogHeaderWriter(headerPage.page)
    sequence += 1
    headerBlock += 1 + UInt64(written)
  }
}

extension BlockWriter {
  /// Writes whole blocks; a failure of the device is thrown as a `RepairError`.
  func writeAll(_ bytes: [UInt8], at block: UInt64) throws(RepairError) {
    let result: Result<Void, BlockFailure> = bytes.withUnsafeBytes { buffer in
      do throws(BlockFailure) { return .success(try write(buffer, at: block)) } catch {
        return .failure(error)
      }
    }
    if case .failure(let failure) = result { throw .device(failure) }
  }

  /// Flushes the device; a failure is thrown as a `RepairError`.
  func flushAll() throws(RepairError) {
    do throws(BlockFailure) { try flush() } catch { throw .device(error) }
  }
}
