/// A 16-byte reference: in a node table it finds a node or a table block, in a map node a data block or a map
/// node.
///
/// The address is a block's, or in an interior map node the child's number. The stamp is the number's
/// generation in a leaf of a node table, and the first checkpoint with its cut after the block was written in
/// a lowest map node. An entry of zeros refers to nothing.
public struct Entry: Sendable, Equatable, BitwiseCopyable {
  public static let size = 16
  /// Entries in a block.
  public static let perBlock = 256
  public static let maximumAddress: UInt64 = (1 << 48) - 1

  /// Address and flags are read and written as one integer, with the flags in the bits above the address.
  public struct Fields: Sendable {
    public let address = ByteField(0, size: 6, .block)
    public let flags = Field<UInt16>(6, .flags)
    public let checksum = Field<UInt32>(8, .checksum)
    public let stamp = Field<UInt32>(12)

    @inline(__always) init() {}
  }

  /// Where the fields lie in the entry.
  @inline(__always) public static var fields: Fields { Fields() }

  /// Map entry: a block is reserved by fallocate but not written; the address is 0. The SPEC calls it
  /// promised.
  public static let reserved: UInt16 = 1
  /// Node table entry: the number is in use although its node has no address yet. Only in memory; ignored on
  /// disk.
  public static let allocated: UInt16 = 2

  public var address: UInt64
  public var flags: UInt16
  public var checksum: UInt32
  public var stamp: UInt32

  public init(address: UInt64 = 0, flags: UInt16 = 0, checksum: UInt32 = 0, stamp: UInt32 = 0) {
    self.address = address
    self.flags = flags
    self.checksum = checksum
    self.stamp = stamp
  }

  /// Decodes the entry at byte `offset`.
  @inline(__always)
  public init(_ page: Page, at offset: Int) {
    let first: UInt64 = page.load(at: offset + Self.fields.address.offset)
    address = first & Self.maximumAddress
    flags = UInt16(truncatingIfNeeded: first >> 48)
    checksum = page.load(Self.fields.checksum, of: offset)
    stamp = page.load(Self.fields.stamp, of: offset)
  }

  /// Encodes the entry at byte `offset`.
  @inline(__always)
  public func store(_ page: Page, at offset: Int) {
    page.store(
      (address & Self.maximumAddress) | UInt64(flags) << 48,
      at: offset + Self.fields.address.offset)
    page.store(checksum, Self.fields.checksum, of: offset)
    page.store(stamp, Self.fields.stamp, of: offset)
  }

  @inline(__always) public var isReserved: Bool { flags & Self.reserved != 0 }
  /// Whether the entry neither refers to a block nor reserves one.
  @inline(__always) public var isHole: Bool { address == 0 && flags & Self.reserved == 0 }
}
