/// A leaf of a hashed directory: a node of records.
public struct DirectoryLeaf: PackedNode {
  public static let magic: UInt32 = 0x464C_4456  // "VDLF"

  public let page: Page
  public init(_ page: Page) { self.page = page }

  /// Whether the block is a leaf whose records can be walked.
  public var isValid: Bool { hasHeader && DirectoryEntries(self).isValid }
}
