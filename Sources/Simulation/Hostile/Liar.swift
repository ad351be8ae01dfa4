import Format

/// Makes hostile images from an intact one: some value in it is wrong ("a lie"), and every checksum is right.
struct Liar {
  var sealed: SealedImage
  let catalog: StructureCatalog
  var values: LyingValues

  /// The image as it is.
  var image: DiskImage { sealed.image }

  init(_ sealed: SealedImage, _ catalog: StructureCatalog, seed: UInt64) {
    self.sealed = sealed
    self.catalog = catalog
    values = LyingValues(sealed, catalog, seed: seed)
  }

  /// Lies about one structure of a kind, once or a few times.
  mutating func lie(about structure: LiedStructure) {
    for _ in 0...values.random.below(3) { lieOnce(about: structure) }
  }

  private mutating func lieOnce(about structure: LiedStructure) {
    switch structure {
    case .superblock:
      let both = values.random.chance(70)
      edit({ $0.editSuperblock(both: both, $1) }) { $0.lie($1, in: .superblock) }
    case .checkpoint: lieAboutCheckpoint()
    case .usage:
      let segment = values.random.below(Int(sealed.geometry.segmentCount))
      let block = UInt32(segment / 256)
      edit({ $0.editUsage(block, $1) }) { values, page in
        values.lie(page, in: .usageEntry, from: segment % 256 * UsageEntry.size)
      }
    case .logHeader: lieAboutHeader()
    case .logRecord: lieAboutRecord()
    case .segmentHeader:
      guard let block = values.random.pick(catalog.segmentHeaders) else { return }
      edit({ $0.editHeader(at: block, $1) }, Self.lieAboutHeader)
    case .inode, .directoryInode, .inodeTable, .nodeTable, .map, .directoryLeaf, .directoryIndex, .attributes,
      .attributeValue, .symlink:
      lieAboutNode(structure)
    }
  }

  /// Calls an editing function with a change that draws its values from this liar's.
  mutating func edit(
    _ editor: (inout SealedImage, (Page) -> Void) -> Void,
    _ change: @escaping (inout LyingValues, Page) -> Void
  ) {
    var values = values
    editor(&sealed) { change(&values, $0) }
    self.values = values
  }

  // MARK: Checkpoint and log

  private mutating func lieAboutCheckpoint() {
    let kind = values.random.below(4)
    // A counter is accepted only if the log's headers agree with it.
    if kind == 0 { return lieAboutCounters() }
    edit({ $0.editPack($1) }) { values, page in
      switch kind {
      case 1 where values.random.chance(15):
        values.lie(page, in: .usageSelection, from: CheckpointPack.headerSize)
      case 1: values.lie(page, in: .checkpointPack)
      case 2: values.lie(page, in: .tableRoot, from: CheckpointPack.fields.inodes.offset)
      default: values.lie(page, in: .tableRoot, from: CheckpointPack.fields.internals.offset)
      }
    }
  }

  /// Puts sequence or epoch of the log near its limit, in the checkpoint and in every header.
  private mutating func lieAboutCounters() {
    let isEpoch = values.random.chance(50)
    let distance = UInt64(values.random.below(sealed.headers.count + 4))
    let first = UInt64.max &- distance
    sealed.editPack { page in
      isEpoch
        ? page.store(UInt32.max, CheckpointPack.fields.epoch)
        : page.store(first, CheckpointPack.fields.logSequence)
    }
    for index in sealed.headers.indices {
      sealed.editHeader(index) { page in
        isEpoch
          ? page.store(UInt32.max, LogHeader.fields.epoch)
          : page.store(first &+ UInt64(index), LogHeader.fields.sequence)
      }
    }
  }

  private mutating func lieAboutHeader() {
    guard !sealed.headers.isEmpty else { return lieAboutCheckpoint() }
    let index = values.random.below(sealed.headers.count)
    edit({ $0.editHeader(index, $1) }, Self.lieAboutHeader)
  }

  private static func lieAboutHeader(_ values: inout LyingValues, _ page: Page) {
    let runs = Int(page.load(LogHeader.fields.runCount))
    guard runs > 0, values.random.chance(60) else { return values.lie(page, in: .logHeader) }
    let run = LogHeader.fixedSize + values.random.below(runs) * OwnerRun.size
    values.lie(page, in: .ownerRun, from: run)
  }

  private mutating func lieAboutRecord() {
    let found = sealed.headers.indices.compactMap { index in
      sealed.header(at: sealed.headers[index]).flatMap { $0.recordBytes > 0 ? (index, $0) : nil }
    }
    guard let (index, header) = values.random.pick(found) else { return lieAboutHeader() }
    if header.recordBlocks > 0, values.random.chance(50) {
      let block = values.random.below(Int(header.recordBlocks))
      return edit({ $0.editLogBlock(index, block: block, $1) }) { values, page in
        values.lie(page, at: values.random.below(Page.size), width: 1 << values.random.below(4))
      }
    }
    let start = LogHeader.fixedSize + header.runs.count * OwnerRun.size + header.blockCount * 4
    let count = header.inlineRecords.count
    edit({ $0.editHeader(index, $1) }) { values, page in
      Self.lieAboutRecord(&values, page, start..<start + count)
    }
  }

  /// Lies about a field of one of the records that fill some bytes.
  private static func lieAboutRecord(_ values: inout LyingValues, _ page: Page, _ bytes: Range<Int>) {
    var records: [Range<Int>] = []
    var offset = bytes.lowerBound
    while offset + RecordHeader.size <= bytes.upperBound {
      let length = Int(page.load(RecordHeader.fields.length, of: offset))
      guard length >= RecordHeader.size else { break }
      records.append(offset..<min(offset + length, bytes.upperBound))
      offset += length
    }
    guard let record = values.random.pick(records) else { return }
    if values.random.chance(10) {
      return values.lie(page, in: .record, from: record.lowerBound)
    }
    let kind = page.load(RecordHeader.fields.kind, of: record.lowerBound)
    if let fields = LyingFields.records[kind], values.random.chance(70) {
      return values.lie(page, in: fields, from: record.lowerBound)
    }
    // Names and values follow the fields, each with its length before it.
    let place = values.random.below(max(1, record.count))
    values.lie(page, at: record.lowerBound + place, width: values.random.pick([1, 2, 4, 8, 8]) ?? 8)
  }
}
