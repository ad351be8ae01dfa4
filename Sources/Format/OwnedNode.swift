/// A node of one inode that is neither a map node nor a long symlink's target: a header with a magic number at byte 0 and
/// the inode's number at byte 8, and behind it what the node is for.
public protocol OwnedNode {
  static var magic: UInt32 { get }
  var page: Page { get }
}

extension OwnedNode {
  /// Bytes before the contents.
  public static var headerSize: Int { 32 }

  /// The number of the inode it belongs to.
  public var owner: UInt64 {
    get { page.load(at: 8) }
    nonmutating set { page.store(newValue, at: 8) }
  }

  /// Whether the block says that it is such a node.
  var hasMagic: Bool { page.load(UInt32.self, at: 0) == Self.magic }

  /// Makes such a node of the block, without contents.
  func makeEmpty(owner number: UInt64) {
    page.clear()
    page.store(Self.magic, at: 0)
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
    get { Int(page.load(UInt16.self, at: 4)) }
    nonmutating set { page.store(UInt16(truncatingIfNeeded: newValue), at: 4) }
  }

  /// Makes an empty node of the block.
  public func initialize(owner number: UInt64) { makeEmpty(owner: number) }

  /// Whether the header is one whose records lie inside the block.
  var hasHeader: Bool { hasMagic && length <= Self.capacity }
}
