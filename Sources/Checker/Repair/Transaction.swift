import Format

/// Changes to a filesystem that become one new checkpoint.
///
/// Changed nodes and the table blocks above them go to free segments, and changed usage blocks to the copy of
/// their pair that the checkpoint does not use. Until the new pack is written, the old state is valid: a
/// crash leaves it unchanged. The new state is then written as two checkpoints, one into each pack, so that
/// falling back to the older one does not bring back the damage.
final class Transaction {
  /// What happens to the log after the checkpoint.
  enum LogTreatment {
    /// Nothing follows the new checkpoint.
    case ended
    /// It follows the new checkpoint, in these segments.
    case kept(Set<UInt32>)
  }

  let check: Check
  private let writer: any BlockWriter
  private let time: Int64
  let inodeTable: EditedTable
  let nodeTable: EditedTable
  private var inodes: [UInt64: PageBuffer] = [:]
  private var nodes: [UInt64: PageBuffer] = [:]
  private let segments: SegmentWriter
  private var pack: CheckpointPack
  private let logSegments: Set<UInt32>

  /// - Parameters:
  ///   - check: a finished check of the filesystem to be changed.
  ///   - time: nanoseconds since 1970.
  init(_ check: Check, writer: any BlockWriter, time: Int64, log: LogTreatment = .ended) {
    self.check = check
    self.writer = writer
    self.time = time
    pack = check.pack
    pack.sequence += 1
    pack.time = time
    switch log {
    case .ended:
      // Headers left from an ended log have the former epoch, so none of them will be followed.
      pack.epoch &+= 1
      pack.flags = CheckpointPack.cleanFlag
      logSegments = LogChain.ends(of: check.pack, check.geometry)
    case .kept(let segments): logSegments = segments
    }
    inodeTable = EditedTable(.inodeTable, root: pack.inodes, reader: check.reader, checksum: check.checksum)
    nodeTable = EditedTable(
      .internalTable, root: pack.internals, reader: check.reader, checksum: check.checksum)
    if check.isWhole {
      inodeTable.setCounts(used: check.inodeNumbers.used, limit: check.inodeNumbers.end)
      nodeTable.setCounts(used: check.nodeNumbers.used, limit: check.nodeNumbers.end)
      pack.reservedBlocks = check.promisedBlocks
    }
    segments = SegmentWriter(
      writer, superblock: check.superblock, free: Self.freeSegments(check, log: logSegments),
      sequence: pack.sequence,
      epoch: pack.epoch)
  }

  /// Segments that no checkpoint needs.
  private static func freeSegments(_ check: Check, log: Set<UInt32>) -> [UInt32] {
    (0..<check.geometry.segmentCount).filter { segment in
      guard check.claims.live[Int(segment)] == 0, !log.contains(segment) else { return false }
      guard let entry = check.usage[Int(segment)] else { return check.isWhole }
      return entry.state == .free && entry.live == 0
    }
  }

  // MARK: Nodes

  /// An inode, to be changed.
  func inode(_ number: UInt64) throws(RepairError) -> Inode {
    if let loaded = inodes[number] { return Inode(loaded.page) }
    let entry = try inodeTable.entry(number)
    let buffer = PageBuffer()
    guard entry.address != 0, load(entry, buffer), Inode(buffer.page).isValid(number: number) else {
      throw .unreadable("inode \(number)")
    }
    inodes[number] = buffer
    return Inode(buffer.page)
  }

  /// Adds an internal node to the changed ones.
  func adopt(_ number: UInt64, _ buffer: PageBuffer) { nodes[number] = buffer }

  /// An internal node, to be read.
  func node(_ number: UInt64) throws(RepairError) -> PageBuffer {
    if let loaded = nodes[number] { return loaded }
    let entry = try nodeTable.entry(number)
    let buffer = PageBuffer()
    guard entry.address != 0, load(entry, buffer) else { throw .unreadable("node \(number)") }
    return buffer
  }

  /// The block of an internal node, whatever its checksum; nil when it cannot be read.
  func damagedNode(_ number: UInt64) -> PageBuffer? {
    guard let entry = try? nodeTable.entry(number), entry.address != 0 else { return nil }
    let buffer = PageBuffer()
    return check.reader.read(block: entry.address, count: 1, into: buffer.page.base).isEmpty ? buffer : nil
  }

  private func load(_ entry: Entry, _ buffer: PageBuffer) -> Bool {
    check.reader.read(block: entry.address, count: 1, into: buffer.page.base).isEmpty
      && check.checksum.of(buffer.page) == entry.checksum
  }

  /// A new inode without contents.
  func makeInode(mode: UInt32) throws(RepairError) -> Inode {
    let number = try inodeTable.newNumber()
    let buffer = PageBuffer()
    inodes[number] = buffer
    let inode = Inode.make(in: buffer.page, id: NodeID(number: number, generation: 0), mode: mode)
    inode.accessTime = time
    inode.modificationTime = time
    inode.changeTime = time
    inode.birthTime = time
    return inode
  }

  /// A new internal node of zeros.
  func makeNode() throws(RepairError) -> (number: UInt64, page: Page) {
    let number = try nodeTable.newNumber()
    let buffer = PageBuffer()
    nodes[number] = buffer
    return (number, buffer.page)
  }

  /// Frees an internal node's number and block.
  func freeNode(_ number: UInt64) throws(RepairError) {
    nodes[number] = nil
    let address = try nodeTable.free(number)
    if address != 0 { check.claims.release(address) }
  }

  /// Frees an inode's number and block, whatever it holds.
  func clearInode(_ number: UInt64) throws(RepairError) {
    inodes[number] = nil
    let address = try inodeTable.free(number)
    if address != 0 { check.claims.release(address) }
  }

  /// Replaces the root or the orphan directory by an empty one.
  func remakeDirectory(_ number: UInt64) {
    let buffer = PageBuffer()
    let id = NodeID(number: number, generation: 0)
    let mode: UInt32 = number == NodeID.root.number ? 0o040755 : 0o040700
    let inode = Inode.make(in: buffer.page, id: id, mode: mode)
    inode.links = 2
    inode.parent = id.raw
    inode.accessTime = time
    inode.modificationTime = time
    inode.changeTime = time
    inode.birthTime = time
    inodes[number] = buffer
  }

  /// Gives up a table block, with all numbers below it.
  func retireTableBlock(_ kind: OwnerKind, level: Int, index: UInt64) {
    (kind == .inodeTable ? inodeTable : nodeTable).retire(level: level, index: index)
  }

  /// Writes a block of file data.
  /// - Returns: the map entry for it.
  func putData(_ id: NodeID, index: UInt64, _ page: Page) throws(RepairError) -> Entry {
    var entry = try segments.put(
      OwnerRun(kind: .data, number: id.number, generation: id.generation, index: index), page)
    entry.stamp = UInt32(truncatingIfNeeded: pack.sequence)
    move(from: 0, to: entry.address)
    return entry
  }

  // MARK: The new checkpoint

  /// Writes everything and makes it the filesystem's state.
  func commit() throws(RepairError) {
    try storeNodes()
    try inodeTable.store(segments, moved: move)
    try nodeTable.store(segments, moved: move)
    try segments.finish()
    pack.inodes = inodeTable.root
    pack.internals = nodeTable.root
    try storeUsage()
    try writer.flushAll()
    for _ in 0..<2 {
      try storePack()
      try writer.flushAll()
      pack.sequence += 1
    }
  }

  private func move(from old: UInt64, to new: UInt64) {
    if old != 0 { check.claims.release(old) }
    _ = check.claims.claim(new)
  }

  private func storeNodes() throws(RepairError) {
    for (number, buffer) in inodes.sorted(by: { $0.key < $1.key }) {
      let old = try inodeTable.entry(number)
      var entry = try segments.put(OwnerRun(kind: .inode, number: number), buffer.page)
      entry.stamp = old.address == 0 ? Inode(buffer.page).generation : old.stamp
      move(from: old.address, to: entry.address)
      try inodeTable.set(entry, for: number)
    }
    for (number, buffer) in nodes.sorted(by: { $0.key < $1.key }) {
      let old = try nodeTable.entry(number)
      var entry = try segments.put(OwnerRun(kind: .internalNode, number: number), buffer.page)
      entry.stamp = old.stamp
      move(from: old.address, to: entry.address)
      try nodeTable.set(entry, for: number)
    }
  }

  /// Writes the usage blocks that have to differ, each into the copy not in use.
  private func storeUsage() throws(RepairError) {
    let perBlock = Int(Geometry.usagePerBlock)
    for index in 0..<Int(check.geometry.usageBlocks) {
      let range = index * perBlock..<min((index + 1) * perBlock, check.usage.count)
      let entries = range.map(usageEntry)
      guard zip(range, entries).contains(where: { check.usage[$0] != $1 }) else { continue }
      let buffer = PageBuffer()
      for (offset, entry) in entries.enumerated() { entry.store(buffer.page, index: offset) }
      let copy = 1 - pack.usage[index].copy
      let bytes = Array(buffer.page.bytes(at: 0, count: Page.size))
      try writer.writeAll(bytes, at: check.geometry.usageBlock(UInt32(index), copy: copy))
      pack.usage[index] = CheckpointPack.UsageSelection(checksum: check.checksum.of(buffer.page), copy: copy)
    }
  }

  private func usageEntry(_ segment: Int) -> UsageEntry {
    let live = check.claims.live[segment]
    let isNew = segments.used.contains(UInt32(segment))
    let isLog =
      check.geometry.segment(of: pack.log.block) == UInt32(segment) || pack.log.nextSegment == segment
    guard var entry = check.usage[segment] else {
      // Its usage block is lost: the segment counts as used unless it is certainly free.
      let isUsed = live > 0 || isNew || isLog || !check.isWhole
      return UsageEntry(live: live, state: isUsed ? .used : .free, age: isUsed ? pack.sequence : 0)
    }
    entry.live = check.isWhole || isNew ? live : max(live, entry.live)
    if isNew { entry.age = pack.sequence }
    if entry.live > 0 || isNew || isLog { entry.state = .used }
    return entry
  }

  private func storePack() throws(RepairError) {
    let geometry = check.geometry
    var bytes = [UInt8](repeating: 0, count: Int(geometry.packBlocks) * Page.size)
    bytes.withUnsafeMutableBytes { pack.encode(into: $0, geometry: geometry, nonce: check.superblock.nonce) }
    for copy in 0...1 {
      try writer.writeAll(bytes, at: geometry.packBlock(slot: Int(pack.sequence & 1), copy: copy))
    }
  }
}
