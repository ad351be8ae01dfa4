/// A growing run of encoded records.
public struct RecordBuffer {
  public private(set) var bytes: [UInt8] = []
  /// Records in the buffer.
  public private(set) var count = 0

  public init() { bytes.reserveCapacity(64 << 10) }

  /// Forgets all records, keeping the room.
  public mutating func removeAll() {
    bytes.removeAll(keepingCapacity: true)
    count = 0
  }

  /// Appends a record.
  public mutating func append(_ record: LogRecord) {
    let start = bytes.count
    put(UInt32(0))
    encodeFields(record)
    let length = UInt32(truncatingIfNeeded: bytes.count - start)
    bytes.withUnsafeMutableBytes {
      $0.storeBytes(of: length.littleEndian, toByteOffset: start, as: UInt32.self)
    }
    count += 1
  }

  private mutating func put<T: FixedWidthInteger & BitwiseCopyable>(_ value: T) {
    withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
  }

  private mutating func put(_ kind: LogRecord.Kind, flag: Bool = false) {
    put(kind, flags: flag ? RecordFlag.isSet : 0)
  }

  private mutating func put(_ kind: LogRecord.Kind, flags: UInt8) {
    bytes.append(kind.rawValue)
    bytes.append(flags)
    put(UInt16(0))
  }

  /// A name or value with its length before it.
  private mutating func put(_ data: UnsafeRawBufferPointer) {
    put(UInt16(truncatingIfNeeded: data.count))
    bytes.append(contentsOf: data)
  }

  private mutating func encodeFields(_ record: LogRecord) {
    switch record {
    case .create(let create):
      put(.create)
      put(create.parent)
      put(create.node)
      put(create.mode)
      put(create.uid)
      put(create.gid)
      put(create.device)
      put(create.time)
      put(create.name)
      put(create.target)
    case .link(let parent, let node, let links, let time, let name):
      put(.link)
      encodeName(parent, node, links, time, name)
    case .unlink(let parent, let node, let links, let time, let name):
      put(.unlink)
      encodeName(parent, node, links, time, name)
    case .dropName(let parent, let node, let time, let name):
      put(.dropName)
      put(parent)
      put(node)
      put(time)
      put(name)
    case .rename(let rename):
      put(.rename, flag: rename.exchanges)
      put(rename.parent)
      put(rename.newParent)
      put(rename.node)
      put(rename.other)
      put(rename.time)
      put(rename.name)
      put(rename.newName)
    case .setAttributes(let set):
      put(.setAttributes, flag: set.sizeChanged)
      put(set.node)
      put(set.mode)
      put(set.uid)
      put(set.gid)
      put(set.size)
      put(set.accessTime)
      put(set.modificationTime)
      put(set.changeTime)
    case .writeInline(let node, let offset, let time, let data):
      put(.writeInline)
      put(node)
      put(offset)
      put(time)
      put(data)
    case .written(let node, let size, let modified, let changed):
      put(.written)
      put(node)
      put(size)
      put(modified)
      if let changed { put(changed) }
    case .attribute(let node, let removes, let time, let name, let value):
      let isLong = value.count > Int(UInt16.max)
      put(.attribute, flags: (removes ? RecordFlag.isSet : 0) | (isLong ? RecordFlag.isLong : 0))
      put(node)
      put(time)
      put(name)
      if isLong {
        put(UInt32(truncatingIfNeeded: value.count))
        bytes.append(contentsOf: value)
      } else {
        put(value)
      }
    case .allocate(let node, let mode, let offset, let length, let time):
      put(.allocate)
      put(node)
      put(mode)
      put(offset)
      put(length)
      put(time)
    }
  }

  private mutating func encodeName(
    _ parent: UInt64, _ node: UInt64, _ links: UInt32, _ time: Int64, _ name: UnsafeRawBufferPointer
  ) {
    put(parent)
    put(node)
    put(links)
    put(time)
    put(name)
  }
}

/// Bits of a record's flag byte.
private enum RecordFlag {
  /// What the record's kind says of it.
  static let isSet: UInt8 = 1
  /// An attribute's value whose length takes 4 bytes.
  static let isLong: UInt8 = 2
}

/// Reads records one after the other out of bytes that came from a disk.
public struct RecordReader {
  private let bytes: UnsafeRawBufferPointer
  /// Where the next record begins, in bytes.
  public private(set) var offset = 0
  private var cursor = 0
  private var end = 0
  private var failed = false

  public init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  /// Whether all records were read.
  public var isAtEnd: Bool { offset >= bytes.count }

  /// The next record; nil at the end, and where the bytes make none (then `isAtEnd` is false).
  public mutating func next() -> LogRecord? {
    guard offset + LogRecord.headerSize <= bytes.count else { return nil }
    cursor = offset
    end = bytes.count
    failed = false
    let length = Int(get(UInt32.self))
    guard length >= LogRecord.headerSize, length <= bytes.count - offset,
      let kind = LogRecord.Kind(rawValue: get())
    else { return nil }
    end = offset + length
    let flags = get(UInt8.self)
    _ = get(UInt16.self)
    let record = decodeFields(
      kind, flag: flags & ~RecordFlag.isLong != 0, isLong: flags & RecordFlag.isLong != 0)
    guard !failed, cursor == end else { return nil }
    offset = end
    return record
  }

  private mutating func get<T: FixedWidthInteger & BitwiseCopyable>(_ type: T.Type = T.self) -> T {
    let size = MemoryLayout<T>.size
    guard cursor + size <= end else {
      failed = true
      return 0
    }
    defer { cursor += size }
    return T(littleEndian: bytes.loadUnaligned(fromByteOffset: cursor, as: T.self))
  }

  private mutating func getBytes(isLong: Bool = false) -> UnsafeRawBufferPointer {
    let count = isLong ? Int(get(UInt32.self)) : Int(get(UInt16.self))
    guard cursor + count <= end else {
      failed = true
      return UnsafeRawBufferPointer(start: nil, count: 0)
    }
    defer { cursor += count }
    return UnsafeRawBufferPointer(rebasing: bytes[cursor..<cursor + count])
  }

  private mutating func decodeWritten() -> LogRecord {
    let (node, size, modified): (UInt64, UInt64, Int64) = (get(), get(), get())
    return .written(node: node, size: size, modified: modified, changed: cursor == end ? nil : get())
  }

  private mutating func decodeFields(_ kind: LogRecord.Kind, flag: Bool, isLong: Bool) -> LogRecord {
    switch kind {
    case .create:
      .create(
        LogRecord.Create(
          parent: get(), node: get(), mode: get(), uid: get(), gid: get(), device: get(), time: get(),
          name: getBytes(), target: getBytes()))
    case .link: .link(parent: get(), node: get(), links: get(), time: get(), name: getBytes())
    case .unlink: .unlink(parent: get(), node: get(), links: get(), time: get(), name: getBytes())
    case .rename:
      .rename(
        LogRecord.Rename(
          parent: get(), newParent: get(), node: get(), other: get(), exchanges: flag, time: get(),
          name: getBytes(), newName: getBytes()))
    case .setAttributes:
      .setAttributes(
        LogRecord.SetAttributes(
          node: get(), mode: get(), uid: get(), gid: get(), sizeChanged: flag, size: get(), accessTime: get(),
          modificationTime: get(), changeTime: get()))
    case .writeInline: .writeInline(node: get(), offset: get(), time: get(), data: getBytes())
    case .dropName: .dropName(parent: get(), node: get(), time: get(), name: getBytes())
    case .written: decodeWritten()
    case .attribute:
      .attribute(
        node: get(), removes: flag, time: get(), name: getBytes(), value: getBytes(isLong: isLong))
    case .allocate: .allocate(node: get(), mode: get(), offset: get(), length: get(), time: get())
    }
  }
}
