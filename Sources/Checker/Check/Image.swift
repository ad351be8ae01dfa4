import Format

/// The entry points of a filesystem: its superblock and the checkpoint that a mount would use.
public struct Image {
  public let superblock: Superblock
  public let pack: CheckpointPack

  /// Finds superblock and checkpoint.
  /// - Parameter report: called with the findings about their copies.
  /// - Throws: `ImageError` when neither superblock or no checkpoint is valid.
  public init(_ reader: any BlockReader, report: (Finding) -> Void = { _ in }) throws(ImageError) {
    superblock = try Self.loadSuperblock(reader, report)
    let packs = Self.loadPacks(reader, superblock, report)
    guard let newest = packs.max(by: { $0.sequence < $1.sequence }) else { throw .noCheckpoint }
    pack = newest
    if newest.sequence > 1, packs.count == 1 {
      report(
        Finding(
          .pack, .inconsistency, .pack(slot: Int(~newest.sequence & 1), copy: 0),
          "checkpoint \(newest.sequence - 1) is damaged in both copies", repairs: [.newCheckpoint],
          isSafe: true))
    }
  }

  /// Reads a block; nil when it cannot be read.
  private static func read(_ reader: any BlockReader, _ block: UInt64, _ memory: UnsafeMutableRawPointer)
    -> Page?
  {
    guard block < reader.blockCount, reader.read(block: block, count: 1, into: memory).isEmpty else {
      return nil
    }
    return Page(memory)
  }

  private static func loadSuperblock(_ reader: any BlockReader, _ report: (Finding) -> Void)
    throws(ImageError) -> Superblock
  {
    guard reader.blockCount > 0 else { throw .format(.notVarve) }
    let memory = UnsafeMutableRawPointer.allocate(byteCount: 2 * Page.size, alignment: 16)
    defer { memory.deallocate() }
    let first = read(reader, 0, memory)
    let known = first.flatMap { try? Superblock(decoding: $0) }
    let lastBlock = known.map { $0.geometry.blockCount - 1 } ?? reader.blockCount - 1
    let last = read(reader, lastBlock, memory + Page.size)
    let superblock: Superblock
    do throws(FormatError) {
      let (chosen, fault) = try Superblock.choose(first: first, last: last)
      superblock = chosen
      if let fault { report(copyFinding(0, Self.reason(fault))) } else { examine(last, superblock, report) }
    } catch { throw .format(error) }
    guard superblock.geometry.blockCount <= reader.blockCount else {
      throw .format(.truncated(expected: superblock.geometry.blockCount, found: reader.blockCount))
    }
    return superblock
  }

  /// Looks at the second copy, where the first is whole.
  private static func examine(_ last: Page?, _ superblock: Superblock, _ report: (Finding) -> Void) {
    guard let last else { return report(copyFinding(1, "cannot be read")) }
    do throws(FormatError) {
      if try Superblock(decoding: last) != superblock { report(copyFinding(1, "differs from the first")) }
    } catch { report(copyFinding(1, Self.reason(error))) }
  }

  private static func reason(_ error: FormatError) -> String {
    switch error {
    case .notVarve: "is none"
    case .damagedSuperblock(let what): "is damaged (\(what))"
    default: "cannot be used (\(error))"
    }
  }

  private static func copyFinding(_ copy: Int, _ detail: String) -> Finding {
    Finding(
      .superblockCopy, .inconsistency, .superblock(copy: copy), detail, repairs: [.rewriteSuperblocks],
      isSafe: true)
  }

  /// The valid packs; damaged and differing copies of a pack that has a valid one are reported.
  private static func loadPacks(
    _ reader: any BlockReader, _ superblock: Superblock, _ report: (Finding) -> Void
  ) -> [CheckpointPack] {
    var packs: [CheckpointPack] = []
    for slot in 0...1 {
      let copies = (0...1).map { loadPack(reader, superblock, slot: slot, copy: $0) }
      guard let best = copies.compactMap({ $0 }).max(by: { $0.sequence < $1.sequence }) else { continue }
      packs.append(best)
      for copy in 0...1 where copies[copy] != best {
        report(
          Finding(
            .packCopy, .inconsistency, .pack(slot: slot, copy: copy),
            copies[copy] == nil ? "is damaged; the other copy is whole" : "is older than the other copy",
            repairs: [.newCheckpoint], isSafe: true))
      }
    }
    return packs
  }

  private static func loadPack(_ reader: any BlockReader, _ superblock: Superblock, slot: Int, copy: Int)
    -> CheckpointPack?
  {
    let geometry = superblock.geometry
    let count = Int(geometry.packBlocks)
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: count * Page.size, alignment: 16)
    defer { memory.deallocate() }
    guard let base = memory.baseAddress,
      reader.read(block: geometry.packBlock(slot: slot, copy: copy), count: count, into: base).isEmpty,
      let pack = CheckpointPack(decoding: memory, geometry: geometry, nonce: superblock.nonce),
      pack.sequence & 1 == UInt64(slot)
    else { return nil }
    return pack
  }
}

/// Why a filesystem cannot be checked.
public enum ImageError: Error, Equatable, CustomStringConvertible {
  /// It is no Varve filesystem, needs a newer program, or is larger than the device.
  case format(FormatError)
  /// There is a Varve superblock, but no valid checkpoint.
  case noCheckpoint

  public var description: String {
    switch self {
    case .format(let error): error.description
    case .noCheckpoint:
      "none of the four copies of the checkpoint is whole, or can be read"
    }
  }
}
