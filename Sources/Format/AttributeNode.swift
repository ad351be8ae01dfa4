/// A node with extended attributes that do not fit in the inode.
public struct AttributeNode: PackedNode {
  public static let magic: UInt32 = 0x5441_4458  // "XDAT"

  public let page: Page
  public init(_ page: Page) { self.page = page }

  /// Whether the block is a node whose attributes can be walked.
  public var isValid: Bool { hasHeader && AttributeEntries(self).isValid }
}

/// A node with a part of the value of an extended attribute.
public struct AttributeValueNode: PackedNode {
  public static let magic: UInt32 = 0x4C41_5658  // "XVAL"

  public let page: Page
  public init(_ page: Page) { self.page = page }

  /// Whether the block is a node whose bytes can be read.
  public var isValid: Bool { hasHeader }

  /// The part of the value.
  public var bytes: UnsafeRawBufferPointer {
    page.bytes(at: Self.headerSize, count: min(length, Self.capacity))
  }

  /// Makes the block the node for part `index` of a value.
  public func initialize(owner: UInt64, part index: Int, of value: UnsafeRawBufferPointer) {
    initialize(owner: owner)
    length = Self.length(of: value.count, at: index)
    let start = index * Self.capacity
    page.copy(UnsafeRawBufferPointer(rebasing: value[start..<start + length]), at: Self.headerSize)
  }

  /// Nodes that a value of `count` bytes takes.
  public static func count(of value: Int) -> Int { (value + capacity - 1) / capacity }

  /// Bytes of a value of `count` bytes that its node `index` holds.
  public static func length(of value: Int, at index: Int) -> Int { min(capacity, value - index * capacity) }
}
