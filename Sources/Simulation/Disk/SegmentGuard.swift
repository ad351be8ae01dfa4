import BlockProtocol
import FileProtocol
import Format

/// Checks where a filesystem writes, by a model of its space: a segment may be discarded, or written anew,
/// only when it holds no live block of the last two durable checkpoints, and no log write since the older of
/// them. Otherwise falling back one checkpoint would find other blocks in the place of those it refers to.
///
/// The live blocks of checkpoints are taken from the usage tables on the disk, not from the filesystem's
/// memory.
final class SegmentGuard {
  private struct Known {
    var sequence: UInt64
    /// Live blocks of each segment.
    var live: [UInt32]
    /// The first log write that it does not hold.
    var log: UInt64
  }

  private let geometry: Geometry
  private let nonce: Nonce
  private let checksum: Checksum
  /// Checkpoints that were written; the last two durable ones are protected.
  private var known: [Known] = []
  /// How far each segment has been written, in blocks. At the mount every segment counts as written to its
  /// end.
  private var written: [UInt32]
  /// Foreground log writes and the segments that they lie in.
  private var log: [(sequence: UInt64, segment: UInt32)] = []

  /// - Returns: nil when there is no filesystem on the disk.
  init?(_ image: DiskImage) {
    guard let first = image.bytes(0).map({ Page(UnsafeMutableRawPointer(mutating: $0)) }),
      let superblock = try? Superblock(decoding: first)
    else { return nil }
    geometry = superblock.geometry
    nonce = superblock.nonce
    checksum = Checksum(nonce: superblock.nonce)
    written = Array(repeating: geometry.segmentBlocks, count: Int(geometry.segmentCount))
    for pack in Self.packs(image, geometry, nonce).sorted(by: { $0.sequence < $1.sequence }) {
      learn(pack, image)
    }
  }

  /// The newest valid pack of each slot.
  private static func packs(_ image: DiskImage, _ geometry: Geometry, _ nonce: Nonce) -> [CheckpointPack] {
    (0...1).compactMap { slot in
      (0...1).compactMap { copy in
        let first = geometry.packBlock(slot: slot, copy: copy)
        return pack(Array(first..<first + geometry.packBlocks).map { image.bytes($0) }, geometry, nonce)
      }.max { $0.sequence < $1.sequence }
    }
  }

  private static func pack(_ blocks: [UnsafeRawPointer?], _ geometry: Geometry, _ nonce: Nonce)
    -> CheckpointPack?
  {
    var bytes: [UInt8] = []
    for block in blocks {
      guard let block else { return nil }
      bytes.append(contentsOf: UnsafeRawBufferPointer(start: block, count: Page.size))
    }
    return bytes.withUnsafeMutableBytes { CheckpointPack(decoding: $0, geometry: geometry, nonce: nonce) }
  }

  /// Records the live blocks of a checkpoint. One with an incomplete usage table is ignored: it is
  /// overwritten by the next.
  private func learn(_ pack: CheckpointPack, _ image: DiskImage) {
    // After falling back one checkpoint, the next has the number of the one that was given up.
    known.removeAll { $0.sequence >= pack.sequence }
    var live: [UInt32] = []
    for (index, selection) in pack.usage.enumerated() {
      let block = geometry.usageBlock(UInt32(index), copy: selection.copy)
      guard let page = image.bytes(block).map({ Page(UnsafeMutableRawPointer(mutating: $0)) }),
        checksum.of(page) == selection.checksum
      else { return }
      for entry in 0..<Int(Geometry.usagePerBlock) { live.append(UsageEntry(page, index: entry).live) }
    }
    known.append(Known(sequence: pack.sequence, live: live, log: pack.log.sequence))
    if known.count > 4 { known.removeFirst() }
    let oldest = known[0].log
    log.removeAll { $0.sequence < oldest }
  }

  /// Checks a write or discard before it is done.
  /// - Parameters:
  ///   - blocks: the contents that are written.
  ///   - image: the disk, its cache included.
  ///   - durable: the disk as it is after any power cut.
  /// - Returns: what is wrong with it; nil when nothing is.
  func observe(
    _ command: BlockCommand, _ blocks: [UnsafeRawPointer], image: @autoclosure () -> DiskImage,
    durable: DiskImage
  ) -> String? {
    guard let segment = geometry.segment(of: command.block) else {
      observePack(command, blocks, image)
      return nil
    }
    let offset = UInt32(truncatingIfNeeded: command.block - geometry.segmentBlock(segment))
    let index = Int(segment)
    guard command.operation == .write else {
      written[index] = geometry.segmentBlocks
      return fault(segment, durable).map { "segment \(segment) is discarded, but \($0)" }
    }
    let isNew = offset < written[index]
    written[index] = offset + command.count
    let fault = isNew ? fault(segment, durable) : nil
    noteLog(blocks, at: command.block, in: segment)
    return fault.map { "segment \(segment) is written anew, but \($0)" }
  }

  private func observePack(
    _ command: BlockCommand, _ blocks: [UnsafeRawPointer], _ image: () -> DiskImage
  ) {
    let places = (0...1).map { geometry.packBlock(slot: $0, copy: 0) }
    guard command.operation == .write, places.contains(command.block),
      let pack = Self.pack(blocks, geometry, nonce)
    else { return }
    learn(pack, image())
  }

  private func noteLog(_ blocks: [UnsafeRawPointer], at address: UInt64, in segment: UInt32) {
    guard let first = blocks.first else { return }
    let page = Page(UnsafeMutableRawPointer(mutating: first))
    guard let header = LogHeader(decoding: page, address: address, nonce: nonce, checksum: checksum),
      header.head == .foreground
    else { return }
    log.append((header.sequence, segment))
  }

  /// Which checkpoint or log write still needs the segment, in words; nil for none.
  private func fault(_ segment: UInt32, _ durable: DiskImage) -> String? {
    let newest = Self.packs(durable, geometry, nonce).map(\.sequence).max() ?? 0
    let needed = known.filter { $0.sequence + 1 >= newest && $0.sequence <= newest }
    for checkpoint in needed where Int(segment) < checkpoint.live.count && checkpoint.live[Int(segment)] > 0 {
      return "checkpoint \(checkpoint.sequence) has \(checkpoint.live[Int(segment)]) blocks there"
    }
    guard let oldest = needed.first else { return nil }
    return log.first { $0.segment == segment && $0.sequence >= oldest.log }.map {
      "log write \($0.sequence), which checkpoint \(oldest.sequence) does not hold, lies there"
    }
  }
}
