/// The header of every node that belongs to one inode, except map nodes and long symlinks' targets.
public enum OwnedNodeHeader {
  public struct Fields: Sendable {
    public let magic = Field<UInt32>(0, .magic)
    public let owner = Field<UInt64>(8, .inode)

    @inline(__always) init() {}
  }

  @inline(__always) public static var fields: Fields { Fields() }
}

/// The further header field of such a node when it holds one run of records.
public enum PackedNodeHeader {
  public struct Fields: Sendable {
    public let length = Field<UInt16>(4)

    @inline(__always) init() {}
  }

  @inline(__always) public static var fields: Fields { Fields() }
}

/// A node of one inode that is neither a map node nor a long symlink's target: a header with a magic number
/// and the inode's number, and after it the contents.
public protocol OwnedNode {
  static var magic: UInt32 { get }
  var page: Page { get }
}

extension OwnedNode {
  /// Bytes before the contents.
  public static var headerSize: Int { 32 }

  /// The number of the inode it belongs to.
  public var owner: UInt64 {
    get { page.load(OwnedNodeHeader.fields.owner) }
    nonmutating set { page.store(newValue, OwnedNodeHeader.fields.owner) }
  }

  /// Whether the block has the magic number of such a node.
  var hasMagic: Bool { page.load(OwnedNodeHeader.fields.magic) == Self.magic }

  /// Makes the block such a node, without contents.
  func makeEmpty(owner number: UInt64) {
    page.clear()
    page.store(Self.magic, OwnedNodeHeader.fields.magic)
    owner = number
  }
}

/// An owned node that holds one run of records without gaps.
public protocol PackedNode: OwnedNode {}

extension PackedNode {
  /// The most bytes of records a node holds.
  public static var capacity: Int { Page.size - headerSize }

  /// Bytes of records.
  public var length: Int {
    get { Int(page.load(PackedNodeHeader.fields.length)) }
    nonmutating set {
      page.store(UInt16(truncatingIfNeeded: newValue), PackedNodeHeader.fields.length)
    }
  }

  /// Makes an empty node of the block.
  public func initialize(owner number: UInt64) { makeEmpty(owner: number) }

  /// Whether the header is one whose records lie inside the block.
  var hasHeader: Bool { hasMagic && length <= Self.capacity }
}
