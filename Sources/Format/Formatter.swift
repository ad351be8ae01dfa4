/// Produces the blocks of a new filesystem.
///
/// The first log write, in segment 0, holds the root directory, the orphan directory and the inode table;
/// checkpoint 1 refers to them. The superblocks are written last, so that a half-written filesystem is not
/// recognized as one.
public struct Formatter {
  public let superblock: Superblock

  public init(_ superblock: Superblock) { self.superblock = superblock }

  /// Calls `write` with a first block and whole blocks of bytes, in the order in which they must reach the
  /// disk: everything of `isSuperblock` false, a flush, then the superblocks and another flush.
  public func emit<E: Error>(
    owner: (uid: UInt32, gid: UInt32),
    write: (_ block: UInt64, _ bytes: UnsafeRawBufferPointer, _ isSuperblock: Bool) throws(E) -> Void
  ) throws(E) {
    let geometry = superblock.geometry
    let first = firstLogWrite(owner: owner)
    try Self.pass(first.bytes, to: geometry.segmentBlock(0), false, write)
    var pack = CheckpointPack()
    pack.sequence = 1
    pack.epoch = 1
    pack.flags = CheckpointPack.cleanFlag
    pack.time = superblock.created
    pack.log.block = geometry.segmentBlock(1)
    pack.log.nextSegment = 2
    pack.inodes = first.table
    let usage = usageBlocks(live: first.live)
    pack.usage = usage.map { CheckpointPack.UsageSelection(checksum: checksum($0), copy: 0) }
    for (index, block) in usage.enumerated() {
      try Self.pass(block, to: geometry.usageBlock(UInt32(index), copy: 0), false, write)
    }
    var bytes = [UInt8](repeating: 0, count: Int(geometry.packBlocks) * Page.size)
    bytes.withUnsafeMutableBytes { pack.encode(into: $0, geometry: geometry, nonce: superblock.nonce) }
    for copy in 0...1 {
      try Self.pass(bytes, to: geometry.packBlock(slot: 1, copy: copy), false, write)
    }
    var block = [UInt8](repeating: 0, count: Page.size)
    if let errors = geometry.errorBlock { try Self.pass(block, to: errors, false, write) }
    Self.withPage(&block) { superblock.encode(into: $0) }
    try Self.pass(block, to: geometry.blockCount - 1, true, write)
    try Self.pass(block, to: 0, true, write)
  }

  private static func pass<E: Error>(
    _ bytes: [UInt8], to block: UInt64, _ isSuperblock: Bool,
    _ write: (UInt64, UnsafeRawBufferPointer, Bool) throws(E) -> Void
  ) throws(E) {
    let result: Result<Void, E> = bytes.withUnsafeBytes { buffer in
      do throws(E) {
        try write(block, buffer, isSuperblock)
        return .success(())
      } catch { return .failure(error) }
    }
    try result.get()
  }

  private static func withPage(_ block: inout [UInt8], _ body: (Page) -> Void) {
    block.withUnsafeMutableBytes { if let base = $0.baseAddress { body(Page(base)) } }
  }

  private func checksum(_ block: [UInt8]) -> UInt32 {
    block.withUnsafeBytes { Checksum(nonce: superblock.nonce).of($0) }
  }

  private func inode(_ id: NodeID, mode: UInt32, owner: (uid: UInt32, gid: UInt32)) -> [UInt8] {
    var block = [UInt8](repeating: 0, count: Page.size)
    Self.withPage(&block) { page in
      let inode = Inode.make(in: page, id: id, mode: mode)
      inode.links = 2
      inode.uid = owner.uid
      inode.gid = owner.gid
      inode.parent = id.raw
      inode.accessTime = superblock.created
      inode.modificationTime = superblock.created
      inode.changeTime = superblock.created
      inode.birthTime = superblock.created
    }
    return block
  }

  private func firstLogWrite(owner: (uid: UInt32, gid: UInt32)) -> (
    bytes: [UInt8], table: TableRoot, live: UInt32
  ) {
    let start = superblock.geometry.segmentBlock(0)
    let root = inode(.root, mode: 0o040755, owner: owner)
    let orphans = inode(.orphans, mode: 0o040700, owner: (0, 0))
    var leaf = [UInt8](repeating: 0, count: Page.size)
    Self.withPage(&leaf) { page in
      Entry(address: start + 1, checksum: checksum(root)).store(page, at: 1 * Entry.size)
      Entry(address: start + 2, checksum: checksum(orphans)).store(page, at: 2 * Entry.size)
    }
    var header = [UInt8](repeating: 0, count: Page.size)
    Self.withPage(&header) { page in
      var writer = LogHeaderWriter(page)
      writer.add(OwnerRun(kind: .inode, number: 1), checksum: checksum(root))
      writer.add(OwnerRun(kind: .inode, number: 2), checksum: checksum(orphans))
      writer.add(OwnerRun(kind: .inodeTable, number: 0), checksum: checksum(leaf))
      var fields = LogHeader()
      fields.head = .nodes
      fields.sequence = 1
      fields.epoch = 1
      fields.address = start
      _ = writer.finish(
        fields, inline: UnsafeRawBufferPointer(start: nil, count: 0), recordBytes: 0, nonce: superblock.nonce,
        checksum: Checksum(nonce: superblock.nonce))
    }
    var table = TableRoot()
    table.address = start + 3
    table.checksum = checksum(leaf)
    table.limit = 3
    table.used = 2
    table.cursor = 3
    return (header + root + orphans + leaf, table, 3)
  }

  /// All usage blocks: segment 0 holds `live` blocks; the log's first two segments are taken.
  private func usageBlocks(live: UInt32) -> [[UInt8]] {
    return (0..<Int(superblock.geometry.usageBlocks)).map { index in
      var block = [UInt8](repeating: 0, count: Page.size)
      if index == 0 {
        Self.withPage(&block) { page in
          UsageEntry(live: live, state: .used, age: 1).store(page, index: 0)
          UsageEntry(live: 0, state: .used, age: 1).store(page, index: 1)
          UsageEntry(live: 0, state: .used, age: 1).store(page, index: 2)
        }
      }
      return block
    }
  }
}
