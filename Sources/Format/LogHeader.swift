/// Whose block it is that a log write carries.
public enum OwnerKind: UInt8, Sendable {
  /// More records than the header holds.
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
  /// Data and records as users wrote them; a chain that recovery follows.
  case foreground = 1
  /// Nodes and tables, at a checkpoint.
  case nodes = 2
  /// What the cleaner moved.
  case cleaner = 3
}

/// The block that begins a log write: what follows it, and how to go on.
///
/// A header is one block. After the fields come the owner runs, then one CRC-32C for each following block, then the
/// first bytes of the records; further record bytes fill the first `recordBlocks` blocks.
public struct LogHeader: Sendable, Equatable {
  public static let magic: UInt64 = 0x3147_4C45_5652_4156  // "VARVELG1"
  public static let fixedSize = 96
  /// Bytes for runs, checksums and records.
  public static let room = Page.size - fixedSize
  /// Flag bit 0: the chain goes on in `nextSegment` although this segment has room.
  public static let leavesSegment: UInt8 = 1

  public var head: LogHead = .foreground
  public var flags: UInt8 = 0
  /// Counts the log writes of the chain; in the other logs, of the log.
  public var sequence: UInt64 = 0
  public var epoch: UInt32 = 0
  /// The checksum of the header before in the chain; 0 in the other logs.
  public var previousChecksum: UInt32 = 0
  /// All log writes of the chain up to this sequence number were flushed when this one was made.
  public var flushedThrough: UInt64 = 0
  /// Where the chain goes when this segment is full; unused in the other logs.
  public var nextSegment: UInt32 = 0
  /// Where this header lies.
  public var address: UInt64 = 0
  /// How many of the following blocks carry records; they come first.
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

  public enum Field {
    public static let magic = 0
    public static let nonce = 8
    public static let sequence = 24
    public static let epoch = 32
    public static let previous = 36
    public static let flushed = 40
    public static let nextSegment = 48
    public static let recordBytes = 52
    public static let address = 56
    public static let head = 64
    public static let flags = 65
    public static let blockCount = 66
    public static let runCount = 68
    public static let recordBlocks = 70
    public static let inlineRecordBytes = 72
    public static let checksum = 76
  }

  /// Decodes the block read from `address`; nil when it is no header of this filesystem for that place.
  public init?(decoding page: Page, address: UInt64, nonce: Nonce, checksum seeded: Checksum) {
    guard page.load(UInt64.self, at: Field.magic) == Self.magic, Nonce(page, at: Field.nonce) == nonce,
      page.load(UInt64.self, at: Field.address) == address,
      let head = LogHead(rawValue: page.load(at: Field.head))
    else { return nil }
    checksum = page.load(at: Field.checksum)
    guard checksum == seeded.of(page.bytes(at: 0, count: Page.size), except: Field.checksum) else {
      return nil
    }
    self.head = head
    self.address = address
    flags = page.load(at: Field.flags)
    sequence = page.load(at: Field.sequence)
    epoch = page.load(at: Field.epoch)
    previousChecksum = page.load(at: Field.previous)
    flushedThrough = page.load(at: Field.flushed)
    nextSegment = page.load(at: Field.nextSegment)
    recordBlocks = page.load(at: Field.recordBlocks)
    recordBytes = page.load(at: Field.recordBytes)
    guard decodeRoom(page) else { return nil }
  }

  /// Reads runs, checksums and records; false when they contradict each other.
  private mutating func decodeRoom(_ page: Page) -> Bool {
    let blocks = Int(page.load(UInt16.self, at: Field.blockCount))
    let runCount = Int(page.load(UInt16.self, at: Field.runCount))
    let inlineBytes = Int(page.load(UInt16.self, at: Field.inlineRecordBytes))
    let checksumStart = Self.fixedSize + runCount * OwnerRun.size
    let recordStart = checksumStart + blocks * 4
    guard recordStart + inlineBytes <= Page.size, Int(recordBlocks) <= blocks,
      inlineBytes <= Int(recordBytes),
      Int(recordBytes) <= inlineBytes + Int(recordBlocks) * Page.size
    else { return false }
    var covered = Int(recordBlocks)
    for index in 0..<runCount {
      let at = Self.fixedSize + index * OwnerRun.size
      let first: UInt64 = page.load(at: at)
      guard let kind = OwnerKind(rawValue: UInt8(truncatingIfNeeded: first >> 56)), kind != .records else {
        return false
      }
      let run = OwnerRun(
        kind: kind, number: first & Entry.maximumAddress, generation: page.load(at: at + 8),
        count: page.load(at: at + 12), index: page.load(at: at + 16))
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
