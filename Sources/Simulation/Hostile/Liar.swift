import Format

/// Makes hostile images of a whole one: something in it lies, and every checksum is right.
struct Liar {
  var sealed: SealedImage
  let catalog: StructureCatalog
  var values: LyingValues

  /// The image as it is.
  var image: DiskImage { sealed.image }

  typealias Fields = [(offset: Int, width: Int)]

  private static let superblockFields: Fields = [
    (8, 4), (16, 8), (32, 8), (48, 8), (112, 8), (120, 4), (124, 4), (128, 8), (136, 8), (152, 8), (160, 8),
    (168, 8),
  ]
  private static let checkpointFields: Fields = [
    (8, 8), (32, 4), (36, 4), (40, 8), (48, 8), (56, 8), (64, 4), (68, 4), (152, 8), (160, 4), (256, 4),
    (260, 4),
  ]
  private static let rootFields: Fields = [(0, 8), (8, 4), (12, 4), (16, 8), (24, 8), (32, 8)]
  private static let usageFields: Fields = [(0, 4), (4, 4), (8, 8)]
  static let headerFields: Fields = [
    (24, 8), (32, 4), (36, 4), (40, 8), (48, 4), (52, 4), (56, 8), (64, 1), (65, 1), (66, 2), (68, 2),
    (70, 2),
    (72, 2),
  ]
  static let runFields: Fields = [(0, 4), (0, 8), (6, 2), (7, 1), (8, 4), (12, 4), (16, 8)]
  static let inodeFields: Fields = [
    (4, 4), (8, 8), (16, 4), (20, 4), (24, 4), (28, 4), (32, 4), (36, 1), (37, 1), (38, 2), (40, 2), (48, 8),
    (56, 8), (64, 8), (72, 8), (80, 8), (88, 8), (96, 8), (104, 8), (112, 8), (120, 8), (128, 8), (136, 1),
  ]
  static let entryFields: Fields = [(0, 2), (0, 4), (0, 8), (6, 2), (8, 4), (12, 4)]
  static let packedFields: Fields = [(0, 4), (4, 2), (6, 2), (8, 8), (16, 8)]

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
      edit({ $0.editSuperblock(both: both, $1) }) { $0.lie($1, in: Self.superblockFields) }
    case .checkpoint: lieAboutCheckpoint()
    case .usage:
      let segment = values.random.below(Int(sealed.geometry.segmentCount))
      let block = UInt32(segment / 256)
      edit({ $0.editUsage(block, $1) }) { values, page in
        values.lie(page, in: Self.usageFields, from: segment % 256 * UsageEntry.size)
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

  /// Hands an editing function a change that draws its values from here.
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
    // A number that counts upwards is only believed when the log agrees.
    if kind == 0 { return lieAboutCounters() }
    edit({ $0.editPack($1) }) { values, page in
      switch kind {
      case 1: values.lie(page, in: Self.checkpointFields)
      case 2: values.lie(page, in: Self.rootFields, from: 72)
      default: values.lie(page, in: Self.rootFields, from: 112)
      }
    }
  }

  /// Puts sequence or epoch of the log near its end, in the checkpoint and in every header.
  private mutating func lieAboutCounters() {
    let isEpoch = values.random.chance(50)
    let distance = UInt64(values.random.below(sealed.headers.count + 4))
    let first = UInt64.max &- distance
    sealed.editPack { page in
      isEpoch ? page.store(UInt32.max, at: 32) : page.store(first, at: 56)
    }
    for index in sealed.headers.indices {
      sealed.editHeader(index) { page in
        isEpoch
          ? page.store(UInt32.max, at: LogHeader.Field.epoch)
          : page.store(first &+ UInt64(index), at: LogHeader.Field.sequence)
      }
    }
  }

  private mutating func lieAboutHeader() {
    guard !sealed.headers.isEmpty else { return lieAboutCheckpoint() }
    let index = values.random.below(sealed.headers.count)
    edit({ $0.editHeader(index, $1) }, Self.lieAboutHeader)
  }

  private static func lieAboutHeader(_ values: inout LyingValues, _ page: Page) {
    let runs = Int(page.load(UInt16.self, at: LogHeader.Field.runCount))
    guard runs > 0, values.random.chance(60) else { return values.lie(page, in: headerFields) }
    let run = LogHeader.fixedSize + values.random.below(runs) * OwnerRun.size
    values.lie(page, in: runFields, from: run)
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
    while offset + 8 <= bytes.upperBound {
      let length = Int(page.load(UInt32.self, at: offset))
      guard length >= 8 else { break }
      records.append(offset..<min(offset + length, bytes.upperBound))
      offset += length
    }
    guard let record = values.random.pick(records) else { return }
    if values.random.chance(10) {
      return values.lie(page, in: [(0, 4), (4, 1), (5, 1)], from: record.lowerBound)
    }
    // Fields lie 4 bytes apart from each other, and names behind them.
    let place = 8 + 4 * values.random.below(max(1, (record.count - 8) / 4))
    values.lie(page, at: record.lowerBound + place, width: values.random.pick([1, 2, 4, 8, 8]) ?? 8)
  }
}
