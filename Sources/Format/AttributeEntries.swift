/// A packed run of extended attributes: in the end of an inode, or in an attribute node.
///
/// Each attribute takes name length (1 byte), 0 (1), value length (2), the name with its namespace prefix, the value.
public struct AttributeEntries {
  public static let fixedSize = 4
  public static let maximumName = 255

  /// One extended attribute; its bytes are valid as long as the block.
  public struct Attribute {
    public let offset: Int
    public let name: UnsafeRawBufferPointer
    public let value: UnsafeRawBufferPointer
    public var length: Int { AttributeEntries.fixedSize + name.count + value.count }
  }

  public let page: Page
  /// The attributes fill the bytes from `start` to `end`.
  public let start: Int
  public let end: Int

  /// The attributes in an inode.
  public init(_ inode: Inode) {
    page = inode.page
    end = Page.size
    start = Page.size - min(inode.attributeLength, Inode.inlineCapacity)
  }

  /// The attributes in an attribute node.
  public init(_ node: AttributeNode) {
    page = node.page
    start = AttributeNode.headerSize
    end = AttributeNode.headerSize + min(node.length, AttributeNode.capacity)
  }

  /// The attribute at byte `offset`, nil at the end or where the bytes make none.
  public func attribute(at offset: Int) -> Attribute? {
    guard offset >= start, offset + Self.fixedSize <= end else { return nil }
    let nameCount = Int(page.load(UInt8.self, at: offset))
    let valueCount = Int(page.load(UInt16.self, at: offset + 2))
    let nameStart = offset + Self.fixedSize
    guard nameCount > 0, nameStart + nameCount + valueCount <= end else { return nil }
    return Attribute(
      offset: offset, name: page.bytes(at: nameStart, count: nameCount),
      value: page.bytes(at: nameStart + nameCount, count: valueCount))
  }

  /// Calls `body` for each attribute.
  public func forEach(_ body: (Attribute) -> Void) {
    var offset = start
    while let attribute = attribute(at: offset) {
      body(attribute)
      offset += attribute.length
    }
  }

  /// The attribute called `name`.
  public func find(_ name: UnsafeRawBufferPointer) -> Attribute? {
    var offset = start
    while let attribute = attribute(at: offset) {
      if attribute.name.elementsEqual(name) { return attribute }
      offset += attribute.length
    }
    return nil
  }

  /// Whether the bytes are whole attributes.
  public var isValid: Bool {
    var offset = start
    while offset < end {
      guard let attribute = attribute(at: offset) else { return false }
      offset += attribute.length
    }
    return true
  }

  /// The bytes an attribute takes.
  public static func length(name: Int, value: Int) -> Int { fixedSize + name + value }

  /// Encodes an attribute at byte `offset` of `page`.
  public static func store(
    name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer, into page: Page, at offset: Int
  ) {
    page.store(UInt16(truncatingIfNeeded: name.count), at: offset)
    page.store(UInt16(truncatingIfNeeded: value.count), at: offset + 2)
    page.copy(name, at: offset + fixedSize)
    page.copy(value, at: offset + fixedSize + name.count)
  }
}
