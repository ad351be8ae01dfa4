/// What a node of one inode begins with, unless it is a map node or a long symlink's target.
public enum OwnedNodeHeader {
  public struct Fields: Sendable {
    public let magic = Field<UInt32>(0, .magic)
    public let owner = Field<UInt64>(8, .inode)

    @inline(__always) init() {}
  }

  @inline(__always) public static var fields: Fields { Fields() }
}

/// What such a node has beside that when it holds one run of records.
public enum PackedNodeHeader {
  public struct Fields: Sendable {
    public let length = Field<UInt16>(4)

    @inline(__always) init() {}
  }

  @inline(__always) public static var fields: Fields { Fields() }
}

/// A node of one inode that is neither a map node nor a long symlink's target: a header with a magic number and the
/// inode's number, and behind it what the node is for.
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

  /// Whether the block says that it is such a node.
  var hasMagic: Bool { page.load(OwnedNodeHeader.fields.magic) == Self.magic }

  /// Makes such a node of the block, without contents.
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
