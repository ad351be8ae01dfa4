/// The root of a node table as a checkpoint holds it. 40 bytes.
public struct TableRoot: Sendable, Equatable {
  public static let size = 40

  /// The block of the root, 0 for an empty table.
  public var address: UInt64 = 0
  public var checksum: UInt32 = 0
  /// Levels of blocks: 1 when the root is a leaf; a table of height h holds 256^h entries. At most 5.
  public var height: UInt32 = 1
  /// Numbers from here on were never given out.
  public var limit: UInt64 = 0
  /// Numbers in use.
  public var used: UInt64 = 0
  /// Where the search for a free number goes on.
  public var cursor: UInt64 = 0

  public init() {}

  public init(_ page: Page, at offset: Int) {
    address = page.load(at: offset)
    checksum = page.load(at: offset + 8)
    height = page.load(at: offset + 12)
    limit = page.load(at: offset + 16)
    used = page.load(at: offset + 24)
    cursor = page.load(at: offset + 32)
  }

  public func store(_ page: Page, at offset: Int) {
    page.store(address, at: offset)
    page.store(checksum, at: offset + 8)
    page.store(height, at: offset + 12)
    page.store(limit, at: offset + 16)
    page.store(used, at: offset + 24)
    page.store(cursor, at: offset + 32)
  }
}

/// Where the foreground log goes on.
public struct LogPosition: Sendable, Equatable {
  /// The block of the next header.
  public var block: UInt64 = 0
  /// The next header's sequence number.
  public var sequence: UInt64 = 1
  /// The checksum of the header before.
  public var previousChecksum: UInt32 = 0
  /// The segment the chain goes to when this one is full.
  public var nextSegment: UInt32 = 0

  public init() {}
}

/// A checkpoint: everything needed to find the filesystem as of one moment.
///
/// The pack's first block holds the fields; from byte 256 on follow 8 bytes for each usage block: its checksum and
/// which copy of its pair is the valid one. One checksum covers the whole pack.
public struct CheckpointPack: Sendable, Equatable {
  public static let magic: UInt64 = 0x3150_4345_5652_4156  // "VARVECP1"
  public static let headerSize = 256
  /// Flag bit 0: the log holds nothing after this checkpoint (a clean unmount).
  public static let cleanFlag: UInt32 = 1
  /// Checkpoints and log writes are numbered below this: no device lives long enough to come near it, and every count that
  /// begins there has room to go on.
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
  /// Blocks promised by fallocate and not written.
  public var reservedBlocks: UInt64 = 0
  /// For each usage block: checksum and selected copy (0 or 1).
  public var usage: [UsageSelection] = []

  public struct UsageSelection: Sendable, Equatable {
    public var checksum: UInt32
    public var copy: UInt32
    public init(checksum: UInt32, copy: UInt32) {
      self.checksum = checksum
      self.copy = copy
    }
  }

  public init() {}

  public var isClean: Bool { flags & Self.cleanFlag != 0 }

  private enum Field {
    static let magic = 0
    static let sequence = 8
    static let nonce = 16
    static let epoch = 32
    static let flags = 36
    static let time = 40
    static let logBlock = 48
    static let logSequence = 56
    static let logPrevious = 64
    static let logNext = 68
    static let inodes = 72
    static let internals = 112
    static let reserved = 152
    static let usageBlocks = 160
    static let checksum = 188
  }

  /// Decodes a pack of `geometry.packBlocks` blocks; nil when it is not a valid pack of this filesystem.
  public init?(decoding bytes: UnsafeMutableRawBufferPointer, geometry: Geometry, nonce: Nonce) {
    let size = Int(geometry.packBlocks) * Page.size
    guard bytes.count >= size, let base = bytes.baseAddress else { return nil }
    let page = Page(base)
    guard page.load(UInt64.self, at: Field.magic) == Self.magic, Nonce(page, at: Field.nonce) == nonce,
      page.load(UInt32.self, at: Field.usageBlocks) == geometry.usageBlocks
    else { return nil }
    let sum = Checksum(nonce: nonce).of(
      UnsafeRawBufferPointer(start: base, count: size), except: Field.checksum)
    guard sum == page.load(UInt32.self, at: Field.checksum) else { return nil }
    sequence = page.load(at: Field.sequence)
    epoch = page.load(at: Field.epoch)
    flags = page.load(at: Field.flags)
    time = page.load(at: Field.time)
    log.block = page.load(at: Field.logBlock)
    log.sequence = page.load(at: Field.logSequence)
    log.previousChecksum = page.load(at: Field.logPrevious)
    log.nextSegment = page.load(at: Field.logNext)
    inodes = TableRoot(page, at: Field.inodes)
    internals = TableRoot(page, at: Field.internals)
    reservedBlocks = page.load(at: Field.reserved)
    usage = (0..<Int(geometry.usageBlocks)).map { index in
      let at = Self.headerSize + index * 8
      return UsageSelection(
        checksum: UInt32(littleEndian: base.loadUnaligned(fromByteOffset: at, as: UInt32.self)),
        copy: UInt32(littleEndian: base.loadUnaligned(fromByteOffset: at + 4, as: UInt32.self)))
    }
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
    page.store(Self.magic, at: Field.magic)
    page.store(sequence, at: Field.sequence)
    nonce.store(page, at: Field.nonce)
    page.store(epoch, at: Field.epoch)
    page.store(flags, at: Field.flags)
    page.store(time, at: Field.time)
    page.store(log.block, at: Field.logBlock)
    page.store(log.sequence, at: Field.logSequence)
    page.store(log.previousChecksum, at: Field.logPrevious)
    page.store(log.nextSegment, at: Field.logNext)
    inodes.store(page, at: Field.inodes)
    internals.store(page, at: Field.internals)
    page.store(reservedBlocks, at: Field.reserved)
    page.store(geometry.usageBlocks, at: Field.usageBlocks)
    for (index, selection) in usage.prefix(Int(geometry.usageBlocks)).enumerated() {
      let at = Self.headerSize + index * 8
      base.storeBytes(of: selection.checksum.littleEndian, toByteOffset: at, as: UInt32.self)
      base.storeBytes(of: selection.copy.littleEndian, toByteOffset: at + 4, as: UInt32.self)
    }
    let sum = Checksum(nonce: nonce).of(
      UnsafeRawBufferPointer(start: base, count: size), except: Field.checksum)
    page.store(sum, at: Field.checksum)
  }
}
