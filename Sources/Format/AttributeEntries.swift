/// A packed run of extended attributes: in the end of an inode, or in an attribute node.
///
/// Each attribute is its fields, the name with its namespace prefix, and the value or, where the value lies
/// in nodes of its own, a reference to it: its length and the numbers of these nodes.
public struct AttributeEntries {
  /// Bytes before the name.
  public static var fixedSize: Int { fields.contentLength.end }

  public struct Fields: Sendable {
    public let nameLength = Field<UInt8>(0)
    public let form = Field<UInt8>(1)
    public let contentLength = Field<UInt16>(2)

    @inline(__always) init() {}
  }

  /// Where the fields lie in an attribute.
  @inline(__always) public static var fields: Fields { Fields() }

  public static let maximumName = 255
  /// The longest value, the kernel's limit.
  public static let maximumValue = 65536
  /// A longer value is stored in value nodes when the inode has no room, so that an attribute node has room
  /// for several attributes.
  public static let longestInlineValue = 1024

  /// Where an attribute's value is stored.
  public enum Form: UInt8, Sendable {
    /// After its name.
    case inline = 0
    /// In value nodes of its own.
    case apart = 1
  }

  /// One extended attribute; its bytes are valid as long as the block.
  public struct Attribute {
    public let offset: Int
    public let form: Form
    public let name: UnsafeRawBufferPointer
    /// What follows the name: the value, or a reference to it.
    public let content: UnsafeRawBufferPointer
    /// Bytes of the value.
    public let valueCount: Int
    public var length: Int { AttributeEntries.fixedSize + name.count + content.count }

    /// The nodes that hold the value; none when it follows the name.
    public var valueNodes: [UInt64] {
      guard form == .apart else { return [] }
      return stride(from: ValueReference.nodesStart, to: content.count, by: 8).map {
        UInt64(littleEndian: content.loadUnaligned(fromByteOffset: $0, as: UInt64.self))
      }
    }

    /// Whether a reference has as many node numbers as the value takes.
    fileprivate var isPossible: Bool {
      guard form == .apart else { return true }
      guard (1...AttributeEntries.maximumValue).contains(valueCount),
        content.count == AttributeEntries.referenceLength(value: valueCount)
      else { return false }
      return valueNodes.allSatisfy { $0 > 0 && $0 <= Entry.maximumAddress }
    }
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

  /// The attribute at byte `offset`; nil at the end or where the bytes are no valid attribute.
  public func attribute(at offset: Int) -> Attribute? {
    guard offset >= start, offset + Self.fixedSize <= end else { return nil }
    let nameCount = Int(page.load(Self.fields.nameLength, of: offset))
    let contentCount = Int(page.load(Self.fields.contentLength, of: offset))
    let nameStart = offset + Self.fixedSize
    guard let form = Form(rawValue: page.load(Self.fields.form, of: offset)), nameCount > 0,
      nameStart + nameCount + contentCount <= end
    else { return nil }
    let content = page.bytes(at: nameStart + nameCount, count: contentCount)
    guard form == .inline || contentCount >= ValueReference.nodesStart else { return nil }
    let valueCount =
      form == .inline
      ? contentCount : Int(page.load(ValueReference.fields.length, of: nameStart + nameCount))
    let attribute = Attribute(
      offset: offset, form: form, name: page.bytes(at: nameStart, count: nameCount), content: content,
      valueCount: valueCount)
    return attribute.isPossible ? attribute : nil
  }

  /// Calls `body` for each attribute.
  public func forEach(_ body: (Attribute) -> Void) {
    var offset = start
    while let attribute = attribute(at: offset) {
      body(attribute)
      offset += attribute.length
    }
  }

  /// The first attribute that `isWanted`.
  public func first(where isWanted: (Attribute) -> Bool) -> Attribute? {
    var offset = start
    while let attribute = attribute(at: offset) {
      if isWanted(attribute) { return attribute }
      offset += attribute.length
    }
    return nil
  }

  /// The attribute called `name`.
  public func find(_ name: UnsafeRawBufferPointer) -> Attribute? {
    first { $0.name.count == name.count && $0.name.elementsEqual(name) }
  }

  /// Whether the bytes are a sequence of valid attributes.
  public var isValid: Bool {
    var offset = start
    while offset < end {
      guard let attribute = attribute(at: offset) else { return false }
      offset += attribute.length
    }
    return true
  }

  /// The bytes an attribute takes.
  public static func length(name: Int, content: Int) -> Int { fixedSize + name + content }

  /// The length of a reference to a value of `count` bytes.
  public static func referenceLength(value count: Int) -> Int {
    ValueReference.nodesStart + 8 * AttributeValueNode.count(of: count)
  }

  /// The reference to a value of `count` bytes that lies in `nodes`.
  public static func reference(value count: Int, nodes: [UInt64]) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(referenceLength(value: count))
    withUnsafeBytes(of: UInt32(truncatingIfNeeded: count).littleEndian) { bytes.append(contentsOf: $0) }
    for node in nodes { withUnsafeBytes(of: node.littleEndian) { bytes.append(contentsOf: $0) } }
    return bytes
  }

  /// Encodes an attribute at byte `offset` of `page`.
  public static func store(
    name: UnsafeRawBufferPointer, _ form: Form = .inline, content: UnsafeRawBufferPointer, into page: Page,
    at offset: Int
  ) {
    page.store(UInt8(truncatingIfNeeded: name.count), Self.fields.nameLength, of: offset)
    page.store(form.rawValue, Self.fields.form, of: offset)
    page.store(UInt16(truncatingIfNeeded: content.count), Self.fields.contentLength, of: offset)
    page.copy(name, at: offset + fixedSize)
    page.copy(content, at: offset + fixedSize + name.count)
  }
}

extension AttributeEntries {
  /// Puts an attribute into an inode that has room for it.
  public static func insert(
    name: UnsafeRawBufferPointer, _ form: Form, content: UnsafeRawBufferPointer, into inode: Inode
  ) {
    inode.attributeLength += length(name: name.count, content: content.count)
    store(name: name, form, content: content, into: inode.page, at: Page.size - inode.attributeLength)
  }

  /// Puts an attribute into a node that has room for it.
  public static func insert(
    name: UnsafeRawBufferPointer, _ form: Form, content: UnsafeRawBufferPointer, into node: AttributeNode
  ) {
    store(
      name: name, form, content: content, into: node.page, at: AttributeNode.headerSize + node.length)
    node.length += length(name: name.count, content: content.count)
  }

  /// Removes an attribute from its inode.
  public static func remove(_ attribute: Attribute, from inode: Inode) {
    let (start, length) = (AttributeEntries(inode).start, attribute.length)
    inode.page.move(from: start, to: start + length, count: attribute.offset - start)
    inode.page.clear(at: start, count: length)
    inode.attributeLength -= length
  }

  /// Removes an attribute from its node.
  public static func remove(_ attribute: Attribute, from node: AttributeNode) {
    let (end, length) = (AttributeEntries(node).end, attribute.length)
    let next = attribute.offset + length
    node.page.move(from: next, to: attribute.offset, count: end - next)
    node.page.clear(at: end - length, count: length)
    node.length -= length
  }
}

/// The reference that follows the name of an attribute whose value lies in value nodes: the value's length,
/// and the numbers of its nodes.
public enum ValueReference {
  public struct Fields: Sendable {
    public let length = Field<UInt32>(0)

    @inline(__always) init() {}
  }

  @inline(__always) public static var fields: Fields { Fields() }
  /// Where the nodes' numbers begin, 8 bytes each.
  public static var nodesStart: Int { fields.length.end }
}
