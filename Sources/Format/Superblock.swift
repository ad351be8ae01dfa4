/// The filesystem's identity and geometry, in the first and the last block. Written by mkfs only.
public struct Superblock: Sendable, Equatable {
  public static let magic: UInt64 = 0x3153_4645_5652_4156  // "VARVEFS1"
  public static let version: UInt32 = 1
  public static let labelSize = 64

  /// The filesystem's UUID, which a person may choose, as 16 bytes in the usual order.
  public var uuid: [UInt8]
  public var nonce: Nonce
  /// Up to 64 bytes, without NUL.
  public var label: [UInt8]
  public var geometry: Geometry
  /// Nanoseconds since 1970.
  public var created: Int64
  /// The key of the directory hash.
  public var hashKey: (UInt64, UInt64)
  /// Feature bits: unknown ones refuse the mount, make it read-only, or do not matter.
  public var incompatibleFeatures = Superblock.attributeNodes
  public var readOnlyFeatures: UInt64 = 0
  public var compatibleFeatures: UInt64 = 0

  /// The filesystem may hold attributes outside of inodes, trees that are cut off a level higher than files', and names that are
  /// dropped without their inode.
  public static let attributeNodes: UInt64 = 1
  public static let knownIncompatible = attributeNodes
  public static let knownReadOnly: UInt64 = 0

  public init(
    uuid: [UInt8], nonce: Nonce, label: [UInt8], geometry: Geometry, created: Int64, hashKey: (UInt64, UInt64)
  ) {
    self.uuid = Array((uuid + Array(repeating: 0, count: 16)).prefix(16))
    self.nonce = nonce
    self.label = Array(label.prefix(Self.labelSize))
    self.geometry = geometry
    self.created = created
    self.hashKey = hashKey
  }

  /// Whether unknown features allow reading only.
  public var mustBeReadOnly: Bool { readOnlyFeatures & ~Self.knownReadOnly != 0 }

  private enum Field {
    static let magic = 0
    static let version = 8
    static let uuid = 16
    static let nonce = 32
    static let label = 48
    static let blockCount = 112
    static let segmentBlocks = 120
    static let segmentCount = 124
    static let created = 128
    static let hashKey = 136
    static let incompatible = 152
    static let readOnly = 160
    static let compatible = 168
    static let checksum = 4092
  }

  /// Decodes a block.
  /// - Throws: `FormatError` for what is not ours, is damaged, or needs a newer program.
  public init(decoding page: Page) throws(FormatError) {
    guard page.load(UInt64.self, at: Field.magic) == Self.magic else { throw .notVarve }
    let found = Checksum.unseeded.of(page.bytes(at: 0, count: Page.size), except: Field.checksum)
    guard page.load(UInt32.self, at: Field.checksum) == found else { throw .damagedSuperblock("checksum") }
    let version: UInt32 = page.load(at: Field.version)
    guard version == Self.version else { throw .unknownVersion(version) }
    incompatibleFeatures = page.load(at: Field.incompatible)
    readOnlyFeatures = page.load(at: Field.readOnly)
    compatibleFeatures = page.load(at: Field.compatible)
    let unknown = incompatibleFeatures & ~Self.knownIncompatible
    guard unknown == 0 else { throw .unknownFeatures(unknown) }
    uuid = Array(page.bytes(at: Field.uuid, count: 16))
    nonce = Nonce(page, at: Field.nonce)
    label = Array(page.bytes(at: Field.label, count: Self.labelSize).prefix { $0 != 0 })
    created = page.load(at: Field.created)
    hashKey = (page.load(at: Field.hashKey), page.load(at: Field.hashKey + 8))
    geometry = try Geometry(
      blockCount: page.load(at: Field.blockCount), segmentBlocks: page.load(at: Field.segmentBlocks),
      segmentCount: page.load(at: Field.segmentCount))
  }

  /// Writes the whole block.
  public func encode(into page: Page) {
    page.clear()
    page.store(Self.magic, at: Field.magic)
    page.store(Self.version, at: Field.version)
    uuid.withUnsafeBytes { page.copy($0, at: Field.uuid) }
    nonce.store(page, at: Field.nonce)
    label.withUnsafeBytes { page.copy($0, at: Field.label) }
    page.store(geometry.blockCount, at: Field.blockCount)
    page.store(geometry.segmentBlocks, at: Field.segmentBlocks)
    page.store(geometry.segmentCount, at: Field.segmentCount)
    page.store(created, at: Field.created)
    page.store(hashKey.0, at: Field.hashKey)
    page.store(hashKey.1, at: Field.hashKey + 8)
    page.store(incompatibleFeatures, at: Field.incompatible)
    page.store(readOnlyFeatures, at: Field.readOnly)
    page.store(compatibleFeatures, at: Field.compatible)
    let sum = Checksum.unseeded.of(page.bytes(at: 0, count: Page.size), except: Field.checksum)
    page.store(sum, at: Field.checksum)
  }

  public static func == (a: Superblock, b: Superblock) -> Bool {
    a.uuid == b.uuid && a.nonce == b.nonce && a.label == b.label && a.geometry == b.geometry
      && a.created == b.created && a.hashKey == b.hashKey && a.incompatibleFeatures == b.incompatibleFeatures
      && a.readOnlyFeatures == b.readOnlyFeatures && a.compatibleFeatures == b.compatibleFeatures
  }
}
