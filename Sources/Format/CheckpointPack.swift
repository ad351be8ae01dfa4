/// The root of a node table as a checkpoint holds it. 40 bytes.
public struct TableRoot: Sendable, Equatable {
  public static let size = 40

  public struct Fields: Sendable {
    public let address = Field<UInt64>(0, .block)
    public let checksum = Field<UInt32>(8, .checksum)
    public let height = Field<UInt32>(12)
    public let limit = Field<UInt64>(16)
    public let used = Field<UInt64>(24)
    public let cursor = Field<UInt64>(32)

    @inline(__always) init() {}
  }

  /// Where the fields lie in the root.
  @inline(__always) public static var fields: Fields { Fields() }

  /// The block of the root, 0 for an empty table.
  public var address: UInt64 = 0
  public var checksum: UInt32 = 0
  /// Levels of blocks: 1 when the root is a leaf; a table of height h holds 256^h entries. At most 5.
  public var height: UInt32 = 1
  /// Numbers from here on were never allocated.
  public var limit: UInt64 = 0
  /// Numbers in use.
  public var used: UInt64 = 0
  /// Where the search for a free number goes on.
  public var cursor: UInt64 = 0

  public init() {}

  public init(_ page: Page, at offset: Int) {
    address = page.load(Self.fields.address, of: offset)
    checksum = page.load(Self.fields.checksum, of: offset)
    height = page.load(Self.fields.height, of: offset)
    limit = page.load(Self.fields.limit, of: offset)
    used = page.load(Self.fields.used, of: offset)
    cursor = page.load(Self.fields.cursor, of: offset)
  }

  public func store(_ page: Page, at offset: Int) {
    page.store(address, Self.fields.address, of: offset)
    page.store(checksum, Self.fields.checksum, of: offset)
    page.store(height, Self.fields.height, of: offset)
    page.store(limit, Self.fields.limit, of: offset)
    page.store(used, Self.fields.used, of: offset)
    page.store(cursor, Self.fields.cursor, of: offset)
  }
}

/// Where the foreground log goes on.
public struct LogPosition: Sendable, Equatable {
  /// The block of the next header.
  public var block: UInt64 = 0
  /// The next header's sequence number.
  public var sequence: UInt64 = 1
  /// The checksum of the previous header.
  public var previousChecksum: UInt32 = 0
  /// The segment the chain goes to when this one is full.
  public var nextSegment: UInt32 = 0

  public init() {}
}

/// A checkpoint: everything needed to find the filesystem as of one moment.
///
/// The pack's first block holds the fields; from byte 256 on follow 8 bytes for each usage block: its
/// checksum and which copy of its pair is the valid one. One checksum covers the whole pack.
public struct CheckpointPack: Sendable, Equatable {
  public static let magic: UInt64 = 0x3150_4345_5652_4156  // "VARVECP1"
  public static let headerSize = 256
  /// Flag bit 0: the log holds nothing after this checkpoint (a clean unmount).
  public static let cleanFlag: UInt32 = 1
  /// Checkpoints and log writes are numbered below this: no device can be written often enough to come near
  /// it, and counters that begin there cannot overflow.
  public static let sequenceLimit: UInt64 = 1 << 43
  /// Epochs are numbered below this.
  public static let epochLimit: UInt32 = 1 << 31

  /// Counts checkpoints from 1; checkpoint n lies in slot n & 1.
  public var sequence: UInt64 = 0
  /// Counts mounts; headers after this checkpoint carry it.
  public var epoch: UInt32 = 0
  public var flags: UInt32 = 0
  /// Nanoseconds since 1970.
  public var time: Int64 = 0
  public var log = LogPosition()
  public var inodes = TableRoot()
  public var internals = TableRoot()
  /// Blocks reserved by fallocate and not written.
  public var reservedBlocks: UInt64 = 0
  /// For each usage block: checksum and selected copy (0 or 1).
  public var usage: [UsageSelection] = []

  public struct UsageSelection: Sendable, Equatable {
    public static let size = 8

    public struct Fields: Sendable {
      public let checksum = Field<UInt32>(0, .checksum)
      public let copy = Field<UInt32>(4)

      @inline(__always) init() {}
    }

    /// Where the fields lie in the selection.
    @inline(__always) public static var fields: Fields { Fields() }

    public var checksum: UInt32
    public var copy: UInt32
    public init(checksum: UInt32, copy: UInt32) {
      self.checksum = checksum
      self.copy = copy
    }

    /// Decodes selection `index` of the pack that begins at `base`; the caller has checked that there are so
    /// many.
    fileprivate init(_ base: UnsafeMutableRawPointer, index: Int) {
      let (page, start) = Self.place(base, index)
      checksum = page.load(Self.fields.checksum, of: start)
      copy = page.load(Self.fields.copy, of: start)
    }

    /// Encodes selection `index`.
    fileprivate func store(_ base: UnsafeMutableRawPointer, index: Int) {
      let (page, start) = Self.place(base, index)
      page.store(checksum, Self.fields.checksum, of: start)
      page.store(copy, Self.fields.copy, of: start)
    }

    private static func place(_ base: UnsafeMutableRawPointer, _ index: Int) -> (page: Page, start: Int) {
      let at = CheckpointPack.headerSize + index * size
      return (Page(base + at / Page.size * Page.size), at % Page.size)
    }
  }

  public init() {}

  public var isClean: Bool { flags & Self.cleanFlag != 0 }

  public struct Fields: Sendable {
    public let magic = Field<UInt64>(0, .magic)
    public let sequence = Field<UInt64>(8)
    public let nonce = ByteField(16, size: 16)
    public let epoch = Field<UInt32>(32)
    public let flags = Field<UInt32>(36, .flags)
    public let time = Field<Int64>(40, .time)
    public let logBlock = Field<UInt64>(48, .block)
    public let logSequence = Field<UInt64>(56)
    public let logPreviousChecksum = Field<UInt32>(64, .checksum)
    public let logNextSegment = Field<UInt32>(68, .segment)
    public let inodes = ByteField(72, size: TableRoot.size)
    public let internals = ByteField(112, size: TableRoot.size)
    public let reservedBlocks = Field<UInt64>(152)
    public let usageBlocks = Field<UInt32>(160)
    public let checksum = Field<UInt32>(188, .checksum)

    @inline(__always) init() {}
  }

  /// Where the fields lie in the pack's first block.
  @inline(__always) public static var fields: Fields { Fields() }

  /// Decodes a pack of `geometry.packBlocks` blocks; nil when it is not a valid pack of this filesystem.
  public init?(decoding bytes: UnsafeMutableRawBufferPointer, geometry: Geometry, nonce: Nonce) {
    let size = Int(geometry.packBlocks) * Page.size
    guard bytes.count >= size, let base = bytes.baseAddress else { return nil }
    let page = Page(base)
    guard page.load(Self.fields.magic) == Self.magic, Nonce(page, at: Self.fields.nonce.offset) == nonce,
      page.load(Self.fields.usageBlocks) == geometry.usageBlocks
    else { return nil }
    let sum = Checksum(nonce: nonce).of(
      UnsafeRawBufferPointer(start: base, count: size), except: Self.fields.checksum.offset)
    guard sum == page.load(Self.fields.checksum) else { return nil }
    sequence = page.load(Self.fields.sequence)
    epoch = page.load(Self.fields.epoch)
    flags = page.load(Self.fields.flags)
    time = page.load(Self.fields.time)
    log.block = page.load(Self.fields.logBlock)
    log.sequence = page.load(Self.fields.logSequence)
    log.previousChecksum = page.load(Self.fields.logPreviousChecksum)
    log.nextSegment = page.load(Self.fields.logNextSegment)
    inodes = TableRoot(page, at: Self.fields.inodes.offset)
    internals = TableRoot(page, at: Self.fields.internals.offset)
    reservedBlocks = page.load(Self.fields.reservedBlocks)
    usage = (0..<Int(geometry.usageBlocks)).map { UsageSelection(base, index: $0) }
    guard isPlausible(geometry) else { return nil }
  }

  /// Whether the numbers can be used without leaving the filesystem.
  private func isPlausible(_ geometry: Geometry) -> Bool {
    func fits(_ root: TableRoot) -> Bool {
      root.height >= 1 && root.height <= 5 && root.limit <= NodeID.maximumNumber && root.used <= root.limit
        && (root.address == 0 || geometry.segment(of: root.address) != nil)
        && root.limit <= (UInt64(1) << (8 * UInt64(root.height)))
    }
    return (1..<Self.sequenceLimit).contains(sequence) && epoch < Self.epochLimit
      && (1..<Self.sequenceLimit).contains(log.sequence) && fits(inodes) && fits(internals)
      && geometry.segment(of: log.block) != nil
      && log.nextSegment < geometry.segmentCount && reservedBlocks <= geometry.blockCount
      && usage.allSatisfy { $0.copy <= 1 }
  }

  /// Writes the whole pack: `geometry.packBlocks` blocks from `bytes`' start.
  public func encode(into bytes: UnsafeMutableRawBufferPointer, geometry: Geometry, nonce: Nonce) {
    let size = Int(geometry.packBlocks) * Page.size
    guard bytes.count >= size, let base = bytes.baseAddress else { return }
    base.initializeMemory(as: UInt8.self, repeating: 0, count: size)
    let page = Page(base)
    page.store(Self.magic, Self.fields.magic)
    page.store(sequence, Self.fields.sequence)
    nonce.store(page, at: Self.fields.nonce.offset)
    page.store(epoch, Self.fields.epoch)
    page.store(flags, Self.fields.flags)
    page.store(time, Self.fields.time)
    page.store(log.block, Self.fields.logBlock)
    page.store(log.sequence, Self.fields.logSequence)
    page.store(log.previousChecksum, Self.fields.logPreviousChecksum)
    page.store(log.nextSegment, Self.fields.logNextSegment)
    inodes.store(page, at: Self.fields.inodes.offset)
    internals.store(page, at: Self.fields.internals.offset)
    page.store(reservedBlocks, Self.fields.reservedBlocks)
    page.store(geometry.usageBlocks, Self.fields.usageBlocks)
    for (index, selection) in usage.prefix(Int(geometry.usageBlocks)).enumerated() {
      selection.store(base, index: index)
    }
    let sum = Checksum(nonce: nonce).of(
      UnsafeRawBufferPointer(start: base, count: size), except: Self.fields.checksum.offset)
    page.store(sum, Self.fields.checksum)
  }
}
