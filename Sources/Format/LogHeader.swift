/// What a block in a log write is.
public enum OwnerKind: UInt8, Sendable {
  /// Records that do not fit in the header.
  case records = 0
  /// A file's data: inode number, generation, block index in the file.
  case data = 1
  /// An inode: its number.
  case inode = 2
  /// A map node, directory node or other node of an inode: its number.
  case internalNode = 3
  /// A block of the inode table: level (0 for leaves) as number, index in that level.
  case inodeTable = 4
  /// A block of the table of internal nodes, likewise.
  case internalTable = 5
}

/// Neighbouring blocks of one owner in a log write. 24 bytes.
public struct OwnerRun: Sendable, Equatable {
  public static let size = 24

  /// Number and kind are read and written as one integer, the kind in its highest byte.
  public struct Fields: Sendable {
    public let number = ByteField(0, size: 6, .integer)
    public let kind = Field<UInt8>(7)
    public let generation = Field<UInt32>(8)
    public let count = Field<UInt32>(12)
    public let index = Field<UInt64>(16)

    @inline(__always) init() {}
  }

  /// Where the fields lie in the run.
  @inline(__always) public static var fields: Fields { Fields() }

  public var kind: OwnerKind
  /// data: the inode's number; tables: the level; nodes: the number of the first.
  public var number: UInt64
  /// data: the inode's generation.
  public var generation: UInt32
  /// Blocks in the run. Nodes have consecutive numbers, data and table blocks consecutive indices.
  public var count: UInt32
  /// data and tables: the index of the first block.
  public var index: UInt64

  public init(kind: OwnerKind, number: UInt64, generation: UInt32 = 0, count: UInt32 = 1, index: UInt64 = 0) {
    self.kind = kind
    self.number = number
    self.generation = generation
    self.count = count
    self.index = index
  }

  /// Whether `next` continues this run.
  @inline(__always)
  public func continues(with next: OwnerRun) -> Bool {
    guard kind == next.kind, generation == next.generation else { return false }
    switch kind {
    case .inode, .internalNode: return next.number == number + UInt64(count)
    default: return next.number == number && next.index == index + UInt64(count)
    }
  }
}

/// Which of the three logs a log write belongs to.
public enum LogHead: UInt8, Sendable {
  /// Records and data in the order of the operations; a chain that recovery follows.
  case foreground = 1
  /// Nodes and tables, at a checkpoint.
  case nodes = 2
  /// Data that the cleaner moved.
  case cleaner = 3
}

/// The block that begins a log write: it describes the blocks that follow, and where the chain continues.
///
/// A header is one block. After the fields come the owner runs, then one CRC-32C for each following block,
/// then the first bytes of the records; further record bytes fill the first `recordBlocks` blocks.
public struct LogHeader: Sendable, Equatable {
  public static let magic: UInt64 = 0x3147_4C45_5652_4156  // "VARVELG1"
  public static let fixedSize = 96
  /// Bytes for runs, checksums and records.
  public static let room = Page.size - fixedSize
  /// Flag bit 0: the chain continues in `nextSegment` although this segment has room.
  public static let leavesSegment: UInt8 = 1

  public var head: LogHead = .foreground
  public var flags: UInt8 = 0
  /// The number of the log write in its log.
  public var sequence: UInt64 = 0
  public var epoch: UInt32 = 0
  /// The checksum of the previous header in the chain; 0 in the other logs.
  public var previousChecksum: UInt32 = 0
  /// All log writes of the chain up to this sequence number were durable when this one was made.
  public var flushedThrough: UInt64 = 0
  /// Where the chain goes when this segment is full; unused in the other logs.
  public var nextSegment: UInt32 = 0
  /// Where this header lies.
  public var address: UInt64 = 0
  /// How many of the following blocks hold records; they come first.
  public var recordBlocks: UInt16 = 0
  public var runs: [OwnerRun] = []
  /// The checksum of each following block, record blocks included.
  public var checksums: [UInt32] = []
  /// Record bytes in all, in the header and in record blocks.
  public var recordBytes: UInt32 = 0
  /// The record bytes that lie in the header.
  public var inlineRecords: [UInt8] = []
  /// Of the header itself.
  public var checksum: UInt32 = 0

  /// Blocks that follow the header.
  public var blockCount: Int { checksums.count }

  public init() {}

  public struct Fields: Sendable {
    public let magic = Field<UInt64>(0, .magic)
    public let nonce = ByteField(8, size: 16)
    public let sequence = Field<UInt64>(24)
    public let epoch = Field<UInt32>(32)
    public let previousChecksum = Field<UInt32>(36, .checksum)
    public let flushedThrough = Field<UInt64>(40)
    public let nextSegment = Field<UInt32>(48, .segment)
    public let recordBytes = Field<UInt32>(52)
    public let address = Field<UInt64>(56, .block)
    public let head = Field<UInt8>(64)
    public let flags = Field<UInt8>(65, .flags)
    public let blockCount = Field<UInt16>(66)
    public let runCount = Field<UInt16>(68)
    public let recordBlocks = Field<UInt16>(70)
    public let inlineRecordBytes = Field<UInt16>(72)
    public let checksum = Field<UInt32>(76, .checksum)

    @inline(__always) init() {}
  }

  /// Where the fields lie in the block.
  @inline(__always) public static var fields: Fields { Fields() }

  /// Decodes the block read from `address`; nil when it is no valid header of this filesystem for that
  /// address.
  public init?(decoding page: Page, address: UInt64, nonce: Nonce, checksum seeded: Checksum) {
    guard page.load(Self.fields.magic) == Self.magic, Nonce(page, at: Self.fields.nonce.offset) == nonce,
      page.load(Self.fields.address) == address,
      let head = LogHead(rawValue: page.load(Self.fields.head))
    else { return nil }
    checksum = page.load(Self.fields.checksum)
    guard checksum == seeded.of(page.bytes(at: 0, count: Page.size), except: Self.fields.checksum.offset)
    else {
      return nil
    }
    self.head = head
    self.address = address
    flags = page.load(Self.fields.flags)
    sequence = page.load(Self.fields.sequence)
    epoch = page.load(Self.fields.epoch)
    previousChecksum = page.load(Self.fields.previousChecksum)
    flushedThrough = page.load(Self.fields.flushedThrough)
    nextSegment = page.load(Self.fields.nextSegment)
    recordBlocks = page.load(Self.fields.recordBlocks)
    recordBytes = page.load(Self.fields.recordBytes)
    guard decodeRoom(page) else { return nil }
  }

  /// Decodes runs, checksums and records; false when they are inconsistent.
  private mutating func decodeRoom(_ page: Page) -> Bool {
    let blocks = Int(page.load(Self.fields.blockCount))
    let runCount = Int(page.load(Self.fields.runCount))
    let inlineBytes = Int(page.load(Self.fields.inlineRecordBytes))
    let checksumStart = Self.fixedSize + runCount * OwnerRun.size
    let recordStart = checksumStart + blocks * 4
    guard recordStart + inlineBytes <= Page.size, Int(recordBlocks) <= blocks,
      inlineBytes <= Int(recordBytes),
      Int(recordBytes) <= inlineBytes + Int(recordBlocks) * Page.size
    else { return false }
    var covered = Int(recordBlocks)
    for index in 0..<runCount {
      let at = Self.fixedSize + index * OwnerRun.size
      let first: UInt64 = page.load(at: at + OwnerRun.fields.number.offset)
      guard let kind = OwnerKind(rawValue: UInt8(truncatingIfNeeded: first >> 56)), kind != .records else {
        return false
      }
      let run = OwnerRun(
        kind: kind, number: first & Entry.maximumAddress,
        generation: page.load(OwnerRun.fields.generation, of: at),
        count: page.load(OwnerRun.fields.count, of: at), index: page.load(OwnerRun.fields.index, of: at))
      guard run.count <= UInt32(blocks), run.index <= UInt64(Int64.max) else { return false }
      covered += Int(run.count)
      runs.append(run)
    }
    guard covered == blocks else { return false }
    checksums = (0..<blocks).map { page.load(at: checksumStart + $0 * 4) }
    inlineRecords = Array(page.bytes(at: recordStart, count: inlineBytes))
    return true
  }
}
