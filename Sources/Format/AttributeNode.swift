/// A node with the extended attributes that do not fit an inode.
public struct AttributeNode: PackedNode {
  public static let magic: UInt32 = 0x5441_4458  // "XDAT"

  public let page: Page
  public init(_ page: Page) { self.page = page }

  /// Whether the block is a node whose attributes can be walked.
  public var isValid: Bool { hasHeader && AttributeEntries(self).isValid }
}
