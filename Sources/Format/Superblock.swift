/// The filesystem's identity and geometry, in the first and the last block. Written by mkfs only.
public struct Superblock: Sendable, Equatable {
  public static let magic: UInt64 = 0x3153_4645_5652_4156  // "VARVEFS1"
  public static let version: UInt32 = 1
  public static let labelSize = 64
  public static let programVersionSize = 16

  /// The filesystem's UUID, which the user of mkfs may choose, as 16 bytes in the order of its text.
  public var uuid: [UInt8]
  public var nonce: Nonce
  /// Up to 64 bytes, without NUL.
  public var label: [UInt8]
  public var geometry: Geometry
  /// Nanoseconds since 1970.
  public var created: Int64
  /// The key of the directory hash.
  public var hashKey: (UInt64, UInt64)
  /// The version of the program that made the filesystem, up to 16 bytes, without NUL; empty where it is not
  /// known.
  public var programVersion: [UInt8]
  /// Feature bits: unknown ones refuse the mount, make it read-only, or are ignored.
  public var incompatibleFeatures = Superblock.attributeNodes
  public var readOnlyFeatures: UInt64 = 0
  public var compatibleFeatures: UInt64 = 0

  /// The filesystem may hold attributes outside of inodes, detached trees one level higher than files' trees,
  /// and records that drop a name without its inode.
  public static let attributeNodes: UInt64 = 1
  public static let knownIncompatible = attributeNodes
  public static let knownReadOnly: UInt64 = 0

  public init(
    uuid: [UInt8], nonce: Nonce, label: [UInt8], geometry: Geometry, created: Int64,
    hashKey: (UInt64, UInt64), programVersion: [UInt8] = []
  ) {
    self.uuid = Array((uuid + Array(repeating: 0, count: 16)).prefix(16))
    self.nonce = nonce
    self.label = Array(label.prefix(Self.labelSize))
    self.geometry = geometry
    self.created = created
    self.hashKey = hashKey
    self.programVersion = Array(programVersion.prefix(Self.programVersionSize))
  }

  /// Whether unknown features allow only reading.
  public var mustBeReadOnly: Bool { readOnlyFeatures & ~Self.knownReadOnly != 0 }

  public struct Fields: Sendable {
    public let magic = Field<UInt64>(0, .magic)
    public let version = Field<UInt32>(8)
    public let uuid = ByteField(16, size: 16)
    public let nonce = ByteField(32, size: 16)
    public let label = ByteField(48, size: Superblock.labelSize)
    public let blockCount = Field<UInt64>(112)
    public let segmentBlocks = Field<UInt32>(120)
    public let segmentCount = Field<UInt32>(124)
    public let created = Field<Int64>(128, .time)
    public let hashKey = ByteField(136, size: 16)
    public let incompatibleFeatures = Field<UInt64>(152, .flags)
    public let readOnlyFeatures = Field<UInt64>(160, .flags)
    public let compatibleFeatures = Field<UInt64>(168, .flags)
    public let programVersion = ByteField(176, size: Superblock.programVersionSize)
    public let checksum = Field<UInt32>(4092, .checksum)

    @inline(__always) init() {}
  }

  /// Where the fields lie in the block.
  @inline(__always) public static var fields: Fields { Fields() }

  /// Decodes a block.
  /// - Throws: `FormatError` for what is not ours, is damaged, or needs a newer program.
  public init(decoding page: Page) throws(FormatError) {
    guard page.load(Self.fields.magic) == Self.magic else { throw .notVarve }
    let found = Checksum.unseeded.of(page.bytes(at: 0, count: Page.size), except: Self.fields.checksum.offset)
    guard page.load(Self.fields.checksum) == found else { throw .damagedSuperblock("checksum") }
    let version: UInt32 = page.load(Self.fields.version)
    guard version == Self.version else { throw .unknownVersion(version) }
    incompatibleFeatures = page.load(Self.fields.incompatibleFeatures)
    readOnlyFeatures = page.load(Self.fields.readOnlyFeatures)
    compatibleFeatures = page.load(Self.fields.compatibleFeatures)
    let unknown = incompatibleFeatures & ~Self.knownIncompatible
    guard unknown == 0 else { throw .unknownFeatures(unknown) }
    uuid = Array(page.bytes(at: Self.fields.uuid.offset, count: Self.fields.uuid.size))
    nonce = Nonce(page, at: Self.fields.nonce.offset)
    label = Array(page.bytes(at: Self.fields.label.offset, count: Self.labelSize).prefix { $0 != 0 })
    created = page.load(Self.fields.created)
    hashKey = (page.load(at: Self.fields.hashKey.offset), page.load(at: Self.fields.hashKey.offset + 8))
    programVersion = Array(
      page.bytes(at: Self.fields.programVersion.offset, count: Self.programVersionSize).prefix { $0 != 0 })
    geometry = try Geometry(
      blockCount: page.load(Self.fields.blockCount), segmentBlocks: page.load(Self.fields.segmentBlocks),
      segmentCount: page.load(Self.fields.segmentCount))
  }

  /// Writes the whole block.
  public func encode(into page: Page) {
    page.clear()
    page.store(Self.magic, Self.fields.magic)
    page.store(Self.version, Self.fields.version)
    uuid.withUnsafeBytes { page.copy($0, at: Self.fields.uuid.offset) }
    nonce.store(page, at: Self.fields.nonce.offset)
    label.withUnsafeBytes { page.copy($0, at: Self.fields.label.offset) }
    page.store(geometry.blockCount, Self.fields.blockCount)
    page.store(geometry.segmentBlocks, Self.fields.segmentBlocks)
    page.store(geometry.segmentCount, Self.fields.segmentCount)
    page.store(created, Self.fields.created)
    page.store(hashKey.0, at: Self.fields.hashKey.offset)
    page.store(hashKey.1, at: Self.fields.hashKey.offset + 8)
    page.store(incompatibleFeatures, Self.fields.incompatibleFeatures)
    page.store(readOnlyFeatures, Self.fields.readOnlyFeatures)
    page.store(compatibleFeatures, Self.fields.compatibleFeatures)
    programVersion.withUnsafeBytes { page.copy($0, at: Self.fields.programVersion.offset) }
    let sum = Checksum.unseeded.of(page.bytes(at: 0, count: Page.size), except: Self.fields.checksum.offset)
    page.store(sum, Self.fields.checksum)
  }

  public static func == (a: Superblock, b: Superblock) -> Bool {
    a.uuid == b.uuid && a.nonce == b.nonce && a.label == b.label && a.geometry == b.geometry
      && a.created == b.created && a.hashKey == b.hashKey && a.incompatibleFeatures == b.incompatibleFeatures
      && a.readOnlyFeatures == b.readOnlyFeatures && a.compatibleFeatures == b.compatibleFeatures
      && a.programVersion == b.programVersion
  }
}
