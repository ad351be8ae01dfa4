import Format

/// An image whose structures can be changed, with every checksum that covers the change computed again: the
/// node's in its table, those of the table blocks above it, and the checkpoint's.
///
/// A node counts as level -1 of its table.
struct SealedImage {
  private(set) var image: DiskImage
  let superblock: Superblock
  let checksum: Checksum
  /// The newest checkpoint, as it lies on the disk, and its slot.
  private(set) var pack: [UInt8]
  private let slot: Int
  /// The addresses of the headers of the log after the checkpoint, in order.
  private(set) var headers: [UInt64] = []

  var geometry: Geometry { superblock.geometry }

  /// - Throws: `SimulationFailure` when there is no intact filesystem on the image.
  init(_ image: DiskImage) throws {
    let page = Page(image.pool.bytes(image.versions[0]))
    guard let superblock = try? Superblock(decoding: page) else { throw SimulationFailure("no superblock") }
    let geometry = superblock.geometry
    var newest: (pack: CheckpointPack, bytes: [UInt8], slot: Int)?
    for slot in 0...1 {
      var bytes: [UInt8] = []
      for block in 0..<geometry.packBlocks {
        let at = Int(geometry.packBlock(slot: slot, copy: 0) + block)
        bytes += UnsafeRawBufferPointer(start: image.pool.bytes(image.versions[at]), count: Page.size)
      }
      let pack = bytes.withUnsafeMutableBytes {
        CheckpointPack(decoding: $0, geometry: geometry, nonce: superblock.nonce)
      }
      if let pack, pack.sequence > newest?.pack.sequence ?? 0 { newest = (pack, bytes, slot) }
    }
    guard let newest else { throw SimulationFailure("no checkpoint") }
    self.image = image
    self.superblock = superblock
    checksum = Checksum(nonce: superblock.nonce)
    pack = newest.bytes
    slot = newest.slot
    headers = chain(newest.pack)
  }

  private func chain(_ pack: CheckpointPack) -> [UInt64] {
    var found: [UInt64] = []
    var position = pack.log
    while let segment = geometry.segment(of: position.block),
      let header = header(at: position.block), header.sequence == position.sequence,
      header.epoch == pack.epoch, header.previousChecksum == position.previousChecksum
    {
      found.append(position.block)
      let behind = position.block + 1 + UInt64(header.blockCount)
      let end = geometry.segmentBlock(segment) + UInt64(geometry.segmentBlocks)
      let leaves = header.flags & LogHeader.leavesSegment != 0 || behind >= end
      position.block = leaves ? geometry.segmentBlock(header.nextSegment) : behind
      position.sequence += 1
      position.previousChecksum = header.checksum
    }
    return found
  }

  /// The log header at a block; nil when it holds none.
  func header(at block: UInt64) -> LogHeader? {
    page(block).flatMap {
      LogHeader(decoding: $0, address: block, nonce: superblock.nonce, checksum: checksum)
    }
  }

  /// A block, to be read; nil outside of the disk.
  func page(_ block: UInt64) -> Page? {
    block < image.blockCount ? Page(image.pool.bytes(image.versions[Int(block)])) : nil
  }

  /// Changes a block, without the checksums that cover it.
  private mutating func rewrite(_ block: UInt64, _ body: (Page) -> Void) {
    let version = image.pool.add(image.pool.bytes(image.versions[Int(block)]))
    body(Page(image.pool.bytes(version)))
    image.versions[Int(block)] = version
  }

  // MARK: Superblock, checkpoint, usage table

  /// Changes both superblocks alike, or only the first.
  mutating func editSuperblock(both: Bool, _ body: (Page) -> Void) {
    for block in both ? [0, image.blockCount - 1] : [0] {
      rewrite(block) { page in
        body(page)
        let field = Superblock.fields.checksum
        let sum = Checksum.unseeded.of(page.bytes(at: 0, count: Page.size), except: field.offset)
        page.store(sum, field)
      }
    }
  }

  /// Changes the newest checkpoint, of which `body` gets the first block, and its checksum, in both copies.
  mutating func editPack(_ body: (Page) -> Void) {
    let count = pack.count
    let checksum = checksum
    pack.withUnsafeMutableBytes { bytes in
      guard let base = bytes.baseAddress else { return }
      body(Page(base))
      let field = CheckpointPack.fields.checksum
      Page(base).store(checksum.of(UnsafeRawBufferPointer(bytes), except: field.offset), field)
    }
    let bytes = pack
    for copy in 0...1 {
      for index in 0..<count / Page.size {
        rewrite(geometry.packBlock(slot: slot, copy: copy) + UInt64(index)) { page in
          bytes.withUnsafeBytes {
            page.copy(UnsafeRawBufferPointer(rebasing: $0[(index * Page.size)...]), at: 0)
          }
        }
      }
    }
  }

  /// A field of the structure that begins at byte `start` of the pack.
  private func packField<Value>(_ field: Field<Value>, of start: Int) -> Value {
    pack.withUnsafeBytes {
      Value(littleEndian: $0.loadUnaligned(fromByteOffset: start + field.offset, as: Value.self))
    }
  }

  /// Changes block `index` of the usage table.
  mutating func editUsage(_ index: UInt32, _ body: (Page) -> Void) {
    let selection = CheckpointPack.UsageSelection.self
    let at = CheckpointPack.headerSize + selection.size * Int(index)
    let block = geometry.usageBlock(index, copy: packField(selection.fields.copy, of: at))
    rewrite(block, body)
    guard let page = page(block) else { return }
    let sum = checksum.of(page)
    editPack { $0.store(sum, selection.fields.checksum, of: at) }
  }

  // MARK: Node tables and nodes

  private static func rootOffset(_ kind: OwnerKind) -> Int {
    kind == .inodeTable ? CheckpointPack.fields.inodes.offset : CheckpointPack.fields.internals.offset
  }

  /// The levels of a table.
  func height(_ kind: OwnerKind) -> Int { Int(packField(TableRoot.fields.height, of: Self.rootOffset(kind))) }

  /// The entry that refers to a block of a table, or to a node at level -1; nil when there is none.
  func entry(_ kind: OwnerKind, level: Int, index: UInt64) -> Entry? {
    let height = height(kind)
    guard (1...5).contains(height), level < height else { return nil }
    guard level < height - 1 else {
      let root = Self.rootOffset(kind)
      guard index == 0 else { return nil }
      return Entry(
        address: packField(TableRoot.fields.address, of: root),
        checksum: packField(TableRoot.fields.checksum, of: root))
    }
    guard let above = tablePage(kind, level: level + 1, index: index >> 8) else { return nil }
    return Entry(above, at: Int(index & 255) * Entry.size)
  }

  /// A block of a table, or a node at level -1.
  func tablePage(_ kind: OwnerKind, level: Int, index: UInt64) -> Page? {
    guard let entry = entry(kind, level: level, index: index), geometry.segment(of: entry.address) != nil
    else { return nil }
    return page(entry.address)
  }

  /// Changes a block of a table, or a node at level -1, and the checksums above it. Nothing happens when
  /// there is none.
  mutating func editTable(_ kind: OwnerKind, level: Int, index: UInt64, _ body: (Page) -> Void) {
    guard let entry = entry(kind, level: level, index: index), geometry.segment(of: entry.address) != nil
    else { return }
    rewrite(entry.address, body)
    guard let page = page(entry.address) else { return }
    let sum = checksum.of(page)
    guard level < height(kind) - 1 else {
      return editPack { $0.store(sum, TableRoot.fields.checksum, of: Self.rootOffset(kind)) }
    }
    editTable(kind, level: level + 1, index: index >> 8) { above in
      var entry = Entry(above, at: Int(index & 255) * Entry.size)
      entry.checksum = sum
      entry.store(above, at: Int(index & 255) * Entry.size)
    }
  }

  // MARK: The log

  /// Changes header `index` of the log after the checkpoint, and the checksums of those after it, each of
  /// which holds that of the one before.
  mutating func editHeader(_ index: Int, _ body: (Page) -> Void) {
    let (checksum, headers) = (checksum, headers)
    var previous: UInt32?
    for place in headers[index...] {
      rewrite(place) { page in
        if let previous { page.store(previous, LogHeader.fields.previousChecksum) } else { body(page) }
        let sum = checksum.of(page.bytes(at: 0, count: Page.size), except: LogHeader.fields.checksum.offset)
        page.store(sum, LogHeader.fields.checksum)
        previous = sum
      }
    }
  }

  /// Changes the header at a block of the nodes' or the cleaner's log, whose checksum no other header holds.
  mutating func editHeader(at block: UInt64, _ body: (Page) -> Void) {
    let checksum = checksum
    rewrite(block) { page in
      body(page)
      let sum = checksum.of(page.bytes(at: 0, count: Page.size), except: LogHeader.fields.checksum.offset)
      page.store(sum, LogHeader.fields.checksum)
    }
  }

  /// Changes a block after header `index` of the log.
  mutating func editLogBlock(_ index: Int, block: Int, _ body: (Page) -> Void) {
    let at = headers[index] + 1 + UInt64(block)
    rewrite(at, body)
    guard let page = page(at) else { return }
    let sum = checksum.of(page)
    editHeader(index) { header in
      let runs = Int(header.load(LogHeader.fields.runCount))
      header.store(sum, at: LogHeader.fixedSize + runs * OwnerRun.size + block * 4)
    }
  }
}
