/// A growing run of encoded records. The reader of such a run follows below.
public struct RecordBuffer {
  public private(set) var bytes: [UInt8] = []
  /// Records in the buffer.
  public private(set) var count = 0
  /// Where the record being appended begins.
  private var start = 0

  public init() { bytes.reserveCapacity(64 << 10) }

  /// Removes all records, keeping the memory.
  public mutating func removeAll() {
    bytes.removeAll(keepingCapacity: true)
    count = 0
  }

  /// Appends a record.
  public mutating func append(_ record: LogRecord) {
    start = bytes.count
    encodeFields(record)
    put(UInt32(truncatingIfNeeded: bytes.count - start), RecordHeader.fields.length)
    count += 1
  }

  /// Begins a record whose last field ends at byte `end`.
  private mutating func begin(_ kind: LogRecord.Kind, flags: UInt8 = 0, end: Int) {
    bytes.append(contentsOf: repeatElement(0, count: end))
    put(kind.rawValue, RecordHeader.fields.kind)
    put(flags, RecordHeader.fields.flags)
  }

  private mutating func put<Value>(_ value: Value, _ field: Field<Value>) {
    let at = start + field.offset
    bytes.withUnsafeMutableBytes {
      $0.storeBytes(of: value.littleEndian, toByteOffset: at, as: Value.self)
    }
  }

  /// Appends a name or value with its length before it.
  private mutating func put(_ data: UnsafeRawBufferPointer, isLong: Bool = false) {
    if isLong {
      append(UInt32(truncatingIfNeeded: data.count))
    } else {
      append(UInt16(truncatingIfNeeded: data.count))
    }
    bytes.append(contentsOf: data)
  }

  private mutating func append<Value: FixedWidthInteger & BitwiseCopyable>(_ value: Value) {
    withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
  }

  private mutating func encodeFields(_ record: LogRecord) {
    switch record {
    case .create(let create): encode(create)
    case .link(let parent, let node, let links, let time, let name):
      encodeName(.link, parent, node, links, time, name)
    case .unlink(let parent, let node, let links, let time, let name):
      encodeName(.unlink, parent, node, links, time, name)
    case .dropName(let parent, let node, let time, let name):
      let fields = RecordFields.dropName
      begin(.dropName, end: fields.time.end)
      put(parent, fields.parent)
      put(node, fields.node)
      put(time, fields.time)
      put(name)
    case .rename(let rename): encode(rename)
    case .setAttributes(let set): encode(set)
    case .writeInline(let node, let offset, let time, let data):
      let fields = RecordFields.writeInline
      begin(.writeInline, end: fields.time.end)
      put(node, fields.node)
      put(offset, fields.offset)
      put(time, fields.time)
      put(data)
    case .written(let node, let size, let modified, let changed):
      let fields = RecordFields.written
      begin(.written, end: changed == nil ? fields.modificationTime.end : fields.changeTime.end)
      put(node, fields.node)
      put(size, fields.size)
      put(modified, fields.modificationTime)
      if let changed { put(changed, fields.changeTime) }
    case .attribute(let node, let removes, let time, let name, let value):
      let fields = RecordFields.attribute
      let isLong = value.count > Int(UInt16.max)
      begin(
        .attribute, flags: (removes ? RecordFlag.isSet : 0) | (isLong ? RecordFlag.isLong : 0),
        end: fields.time.end)
      put(node, fields.node)
      put(time, fields.time)
      put(name)
      put(value, isLong: isLong)
    case .allocate(let node, let mode, let offset, let length, let time):
      let fields = RecordFields.allocate
      begin(.allocate, end: fields.time.end)
      put(node, fields.node)
      put(mode, fields.mode)
      put(offset, fields.offset)
      put(length, fields.length)
      put(time, fields.time)
    }
  }

  private mutating func encode(_ create: LogRecord.Create) {
    let fields = RecordFields.create
    begin(.create, end: fields.time.end)
    put(create.parent, fields.parent)
    put(create.node, fields.node)
    put(create.mode, fields.mode)
    put(create.uid, fields.uid)
    put(create.gid, fields.gid)
    put(create.device, fields.device)
    put(create.time, fields.time)
    put(create.name)
    put(create.target)
  }

  private mutating func encodeName(
    _ kind: LogRecord.Kind, _ parent: UInt64, _ node: UInt64, _ links: UInt32, _ time: Int64,
    _ name: UnsafeRawBufferPointer
  ) {
    let fields = RecordFields.name
    begin(kind, end: fields.time.end)
    put(parent, fields.parent)
    put(node, fields.node)
    put(links, fields.links)
    put(time, fields.time)
    put(name)
  }

  private mutating func encode(_ rename: LogRecord.Rename) {
    let fields = RecordFields.rename
    begin(.rename, flags: rename.exchanges ? RecordFlag.isSet : 0, end: fields.time.end)
    put(rename.parent, fields.parent)
    put(rename.newParent, fields.newParent)
    put(rename.node, fields.node)
    put(rename.other, fields.other)
    put(rename.time, fields.time)
    put(rename.name)
    put(rename.newName)
  }

  private mutating func encode(_ set: LogRecord.SetAttributes) {
    let fields = RecordFields.setAttributes
    begin(.setAttributes, flags: set.sizeChanged ? RecordFlag.isSet : 0, end: fields.changeTime.end)
    put(set.node, fields.node)
    put(set.mode, fields.mode)
    put(set.uid, fields.uid)
    put(set.gid, fields.gid)
    put(set.size, fields.size)
    put(set.accessTime, fields.accessTime)
    put(set.modificationTime, fields.modificationTime)
    put(set.changeTime, fields.changeTime)
  }
}

/// Bits of a record's flag byte.
private enum RecordFlag {
  /// The flag whose meaning depends on the record's kind.
  static let isSet: UInt8 = 1
  /// An attribute's value whose length takes 4 bytes.
  static let isLong: UInt8 = 2

  /// The bits that records of a kind may have.
  static func known(for kind: LogRecord.Kind) -> UInt8 {
    switch kind {
    case .rename, .setAttributes: isSet
    case .attribute: isSet | isLong
    default: 0
    }
  }
}

/// Decodes records one after the other from bytes that came from a disk.
public struct RecordReader {
  private let bytes: UnsafeRawBufferPointer
  /// Where the next record begins, in bytes.
  public private(set) var offset = 0
  /// The end of what was decoded of the record so far.
  private var cursor = 0
  private var end = 0
  private var failed = false

  public init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  /// Whether all records were read.
  public var isAtEnd: Bool { offset >= bytes.count }

  /// The next record; nil at the end, and where the bytes are no valid record (then `isAtEnd` is false).
  public mutating func next() -> LogRecord? {
    let header = RecordHeader.fields
    guard offset + RecordHeader.size <= bytes.count else { return nil }
    cursor = offset + RecordHeader.size
    end = cursor
    failed = false
    let length = Int(get(header.length))
    guard length >= RecordHeader.size, length <= bytes.count - offset,
      let kind = LogRecord.Kind(rawValue: get(header.kind))
    else { return nil }
    let flags = get(header.flags)
    guard flags & ~RecordFlag.known(for: kind) == 0 else { return nil }
    end = offset + length
    let record = decodeFields(
      kind, flag: flags & RecordFlag.isSet != 0, isLong: flags & RecordFlag.isLong != 0)
    guard !failed, cursor == end else { return nil }
    offset = end
    return record
  }

  /// A field of the record. Names and values follow the last field that was decoded.
  private mutating func get<Value>(_ field: Field<Value>) -> Value {
    let at = offset + field.offset
    guard at + field.size <= end else {
      failed = true
      return 0
    }
    cursor = max(cursor, at + field.size)
    return Value(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: Value.self))
  }

  private mutating func getCount<Count: FixedWidthInteger & BitwiseCopyable>(_ type: Count.Type) -> Int {
    guard cursor + MemoryLayout<Count>.size <= end else {
      failed = true
      return 0
    }
    defer { cursor += MemoryLayout<Count>.size }
    return Int(Count(littleEndian: bytes.loadUnaligned(fromByteOffset: cursor, as: Count.self)))
  }

  private mutating func getBytes(isLong: Bool = false) -> UnsafeRawBufferPointer {
    let count = isLong ? getCount(UInt32.self) : getCount(UInt16.self)
    guard cursor + count <= end else {
      failed = true
      return UnsafeRawBufferPointer(start: nil, count: 0)
    }
    defer { cursor += count }
    return UnsafeRawBufferPointer(rebasing: bytes[cursor..<cursor + count])
  }

  private mutating func decodeFields(_ kind: LogRecord.Kind, flag: Bool, isLong: Bool) -> LogRecord {
    switch kind {
    case .create: return decodeCreate()
    case .link:
      let (parent, node, links, time) = decodeName()
      return .link(parent: parent, node: node, links: links, time: time, name: getBytes())
    case .unlink:
      let (parent, node, links, time) = decodeName()
      return .unlink(parent: parent, node: node, links: links, time: time, name: getBytes())
    case .rename: return decodeRename(exchanges: flag)
    case .setAttributes: return decodeSetAttributes(sizeChanged: flag)
    case .writeInline:
      let fields = RecordFields.writeInline
      return .writeInline(
        node: get(fields.node), offset: get(fields.offset), time: get(fields.time), data: getBytes())
    case .dropName:
      let fields = RecordFields.dropName
      return .dropName(
        parent: get(fields.parent), node: get(fields.node), time: get(fields.time), name: getBytes())
    case .written:
      let fields = RecordFields.written
      return .written(
        node: get(fields.node), size: get(fields.size), modified: get(fields.modificationTime),
        changed: cursor == end ? nil : get(fields.changeTime))
    case .attribute:
      let fields = RecordFields.attribute
      return .attribute(
        node: get(fields.node), removes: flag, time: get(fields.time), name: getBytes(),
        value: getBytes(isLong: isLong))
    case .allocate:
      let fields = RecordFields.allocate
      return .allocate(
        node: get(fields.node), mode: get(fields.mode), offset: get(fields.offset),
        length: get(fields.length), time: get(fields.time))
    }
  }

  private mutating func decodeCreate() -> LogRecord {
    let fields = RecordFields.create
    return .create(
      LogRecord.Create(
        parent: get(fields.parent), node: get(fields.node), mode: get(fields.mode), uid: get(fields.uid),
        gid: get(fields.gid), device: get(fields.device), time: get(fields.time), name: getBytes(),
        target: getBytes()))
  }

  private mutating func decodeName() -> (parent: UInt64, node: UInt64, links: UInt32, time: Int64) {
    let fields = RecordFields.name
    return (get(fields.parent), get(fields.node), get(fields.links), get(fields.time))
  }

  private mutating func decodeRename(exchanges: Bool) -> LogRecord {
    let fields = RecordFields.rename
    return .rename(
      LogRecord.Rename(
        parent: get(fields.parent), newParent: get(fields.newParent), node: get(fields.node),
        other: get(fields.other), exchanges: exchanges, time: get(fields.time), name: getBytes(),
        newName: getBytes()))
  }

  private mutating func decodeSetAttributes(sizeChanged: Bool) -> LogRecord {
    let fields = RecordFields.setAttributes
    return .setAttributes(
      LogRecord.SetAttributes(
        node: get(fields.node), mode: get(fields.mode), uid: get(fields.uid), gid: get(fields.gid),
        sizeChanged: sizeChanged, size: get(fields.size), accessTime: get(fields.accessTime),
        modificationTime: get(fields.modificationTime), changeTime: get(fields.changeTime)))
  }
}
