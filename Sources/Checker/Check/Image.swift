import Format

/// The beginning of a filesystem: its superblock and the checkpoint a mount would take.
public struct Image {
  public let superblock: Superblock
  public let pack: CheckpointPack

  /// Finds superblock and checkpoint.
  /// - Parameter report: takes what is wrong with their copies.
  /// - Throws: `FormatError` when neither superblock is one; a damaged filesystem with no valid checkpoint has none either.
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

  private static func decode(_ reader: any BlockReader, at block: UInt64) -> Result<Superblock, FormatError> {
    let memory = UnsafeMutableRawPointer.allocate(byteCount: Page.size, alignment: 16)
    defer { memory.deallocate() }
    guard block < reader.blockCount, reader.read(block: block, count: 1, into: memory).isEmpty else {
      return .failure(.damagedSuperblock("it cannot be read"))
    }
    do throws(FormatError) { return .success(try Superblock(decoding: Page(memory))) } catch {
      return .failure(error)
    }
  }

  private static func loadSuperblock(_ reader: any BlockReader, _ report: (Finding) -> Void)
    throws(ImageError) -> Superblock
  {
    guard reader.blockCount > 0 else { throw .format(.notVarve) }
    let first = decode(reader, at: 0)
    var lastBlock = reader.blockCount - 1
    if case .success(let superblock) = first { lastBlock = superblock.geometry.blockCount - 1 }
    let second = decode(reader, at: lastBlock)
    let superblock: Superblock
    switch (first, second) {
    case (.success(let a), .success(let b)):
      superblock = a
      if a != b { report(copyFinding(1, "differs from the first")) }
    case (.success(let a), .failure(let error)):
      superblock = a
      report(copyFinding(1, Self.reason(error)))
    case (.failure(let error), .success(let b)):
      superblock = b
      report(copyFinding(0, Self.reason(error)))
    case (.failure(let error), .failure(let other)):
      throw .format(error == .notVarve ? other : error)
    }
    guard superblock.geometry.blockCount <= reader.blockCount else {
      throw .format(.truncated(expected: superblock.geometry.blockCount, found: reader.blockCount))
    }
    return superblock
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

/// Why there is nothing to check.
public enum ImageError: Error, Equatable, CustomStringConvertible {
  /// No filesystem of ours, one that needs a newer program, or one cut short.
  case format(FormatError)
  /// The superblock is ours, but no checkpoint is valid.
  case noCheckpoint

  public var description: String {
    switch self {
    case .format(let error): error.description
    case .noCheckpoint:
      "all four copies of the checkpoint packs are damaged; restore the device from a backup, or make a new "
        + "filesystem with mkfs.varve -f"
    }
  }
}
