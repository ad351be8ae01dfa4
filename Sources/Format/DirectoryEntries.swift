/// One name in a directory as it lies in a block: the fields, and after them the name.
public struct DirectoryRecord {
  /// Bytes before the name.
  @inline(__always) public static var fixedSize: Int { fields.nameLength.end }
  public static let maximumName = 255

  public struct Fields: Sendable {
    public let key = Field<UInt64>(0)
    public let node = Field<UInt64>(8, .nodeID)
    public let type = Field<UInt8>(16)
    public let nameLength = Field<UInt8>(17)

    @inline(__always) init() {}
  }

  /// Where the fields lie in the record.
  @inline(__always) public static var fields: Fields { Fields() }

  /// The hash (48 bits) above the ordinal (15 bits): the entry's place in the directory and its readdir
  /// cookie.
  public let key: UInt64
  public let node: NodeID
  /// DT_* of dirent(3).
  public let type: UInt8
  /// Where the record lies in its block, in bytes.
  public let offset: Int
  /// The name; valid as long as the block.
  public let name: UnsafeRawBufferPointer

  /// Whether a name is one that a system call can have passed: not "." or "..", and without "/" and NUL.
  public static func isPossible(_ name: UnsafeRawBufferPointer) -> Bool {
    guard (1...maximumName).contains(name.count) else { return false }
    if name.count <= 2, name.allSatisfy({ $0 == UInt8(ascii: ".") }) { return false }
    return !name.contains { $0 == 0 || $0 == UInt8(ascii: "/") }
  }

  /// The hash of the name.
  public var hash: UInt64 { key >> DirectoryHash.ordinalBits }

  /// The bytes the record takes.
  public var length: Int { Self.fixedSize + name.count }
}

/// A packed, sorted run of directory records in a block: a small directory's inline area, or a leaf.
public struct DirectoryEntries {
  public let page: Page
  /// Where records begin, in bytes from the block's start.
  public let start: Int
  /// How many bytes they take.
  public let length: Int
  /// How many bytes they may take.
  public let capacity: Int

  /// The entries in a directory's inode.
  public init(_ inode: Inode) {
    page = inode.page
    start = Inode.inlineStart
    length = min(inode.inlineLength, Inode.inlineCapacity)
    capacity = inode.inlineRoom
  }

  /// The entries in a leaf.
  public init(_ leaf: DirectoryLeaf) {
    page = leaf.page
    start = DirectoryLeaf.headerSize
    length = min(leaf.length, DirectoryLeaf.capacity)
    capacity = DirectoryLeaf.capacity
  }

  /// The entries of a damaged leaf, as if it were full: for finding records in it that are still valid.
  public init(damaged leaf: DirectoryLeaf) {
    page = leaf.page
    start = DirectoryLeaf.headerSize
    length = DirectoryLeaf.capacity
    capacity = DirectoryLeaf.capacity
  }

  /// The record at byte `offset` of the block; nil at the end or where the bytes are no valid record.
  @inline(__always)
  public func record(at offset: Int) -> DirectoryRecord? {
    let end = start + length
    guard offset >= start, offset + DirectoryRecord.fixedSize <= end else { return nil }
    let count = Int(page.load(DirectoryRecord.fields.nameLength, of: offset))
    guard count > 0, offset + DirectoryRecord.fixedSize + count <= end else { return nil }
    return DirectoryRecord(
      key: page.load(DirectoryRecord.fields.key, of: offset),
      node: NodeID(raw: page.load(DirectoryRecord.fields.node, of: offset)),
      type: page.load(DirectoryRecord.fields.type, of: offset), offset: offset,
      name: page.bytes(at: offset + DirectoryRecord.fixedSize, count: count))
  }

  /// Whether the bytes are whole records in ascending order of their keys.
  public var isValid: Bool {
    var offset = start
    var previous: UInt64 = 0
    while offset < start + length {
      guard let record = record(at: offset), record.key > previous, record.key <= UInt64(Int64.max) else {
        return false
      }
      previous = record.key
      offset += record.length
    }
    return true
  }

  /// Where the first record with a key of at least `key` begins, or the end of the records.
  public func position(of key: UInt64) -> Int {
    var offset = start
    while let record = record(at: offset), record.key < key { offset += record.length }
    return offset
  }

  /// The record of `name`, whose hash is `hash`.
  public func find(_ name: UnsafeRawBufferPointer, hash: UInt64) -> DirectoryRecord? {
    var offset = position(of: hash << DirectoryHash.ordinalBits)
    while let record = record(at: offset), record.hash == hash {
      if record.name.elementsEqual(name) { return record }
      offset += record.length
    }
    return nil
  }

  /// The key that a new name with `hash` gets, with the lowest free ordinal; nil when all are taken.
  public func freeKey(hash: UInt64) -> UInt64? {
    let first = hash << DirectoryHash.ordinalBits
    var offset = position(of: first)
    var key = first
    while let record = record(at: offset), record.key == key {
      key += 1
      offset += record.length
    }
    return key >> DirectoryHash.ordinalBits == hash ? key : nil
  }

  /// Whether a name of `count` bytes fits.
  public func fits(_ count: Int) -> Bool { length + DirectoryRecord.fixedSize + count <= capacity }

  /// Inserts a record in the order of keys. The caller has checked that it fits, and stores the new length.
  /// - Returns: the new length in bytes.
  public func insert(key: UInt64, node: NodeID, type: UInt8, name: UnsafeRawBufferPointer) -> Int {
    let size = DirectoryRecord.fixedSize + name.count
    let at = position(of: key)
    page.move(from: at, to: at + size, count: start + length - at)
    page.store(key, DirectoryRecord.fields.key, of: at)
    page.store(node.raw, DirectoryRecord.fields.node, of: at)
    page.store(type, DirectoryRecord.fields.type, of: at)
    page.store(UInt8(truncatingIfNeeded: name.count), DirectoryRecord.fields.nameLength, of: at)
    page.copy(name, at: at + DirectoryRecord.fixedSize)
    return length + size
  }

  /// Removes a record. The caller stores the new length.
  /// - Returns: the new length in bytes.
  public func remove(_ record: DirectoryRecord) -> Int {
    let size = record.length
    let next = record.offset + size
    page.move(from: next, to: record.offset, count: start + length - next)
    page.clear(at: start + length - size, count: size)
    return length - size
  }

  /// Makes a record refer to another inode.
  public func replace(_ record: DirectoryRecord, node: NodeID, type: UInt8) {
    page.store(node.raw, DirectoryRecord.fields.node, of: record.offset)
    page.store(type, DirectoryRecord.fields.type, of: record.offset)
  }
}
