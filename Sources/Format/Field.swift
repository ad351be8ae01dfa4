/// The type of a field of a structure on disk. The raw value is its name in SPEC's tables.
public enum FieldKind: String, Sendable {
  case magic, integer, flags, block, segment, checksum, time, inode, node, reference
  case nodeID = "node id"
  case bytes
}

/// A field that is one little-endian integer: where it lies in its structure. Its width is that of `Value`.
///
/// Each structure has its fields in one place, its `fields`: it encodes and decodes by them, and
/// `StructureLayout` lists them for `varve dump`, for tests that damage structures and for the test of SPEC.
/// `fields` is inlined and compiles to constants, in other modules too, so a field costs as little as a
/// literal offset; a global would be read from memory there.
public struct Field<Value: FixedWidthInteger & BitwiseCopyable>: Sendable {
  /// Bytes before it in the structure.
  public let offset: Int
  public let kind: FieldKind

  @inline(__always)
  init(_ offset: Int, _ kind: FieldKind = .integer) {
    self.offset = offset
    self.kind = kind
  }

  /// Bytes it takes.
  @inline(__always) public var size: Int { MemoryLayout<Value>.size }
  /// The byte behind it.
  @inline(__always) public var end: Int { offset + size }
}

/// A field of another form than one integer of 1, 2, 4 or 8 bytes.
public struct ByteField: Sendable {
  /// Bytes before it in the structure.
  public let offset: Int
  /// Bytes it takes.
  public let size: Int
  public let kind: FieldKind

  @inline(__always)
  init(_ offset: Int, size: Int, _ kind: FieldKind = .bytes) {
    self.offset = offset
    self.size = size
    self.kind = kind
  }

  /// The byte behind it.
  @inline(__always) public var end: Int { offset + size }
}

extension Page {
  /// The value of a field of the structure that begins at byte `start`; 0 when it would not lie inside the
  /// block.
  @inline(__always)
  public func load<Value>(_ field: Field<Value>, of start: Int = 0) -> Value {
    load(Value.self, at: start + field.offset)
  }

  /// Stores a field of the structure that begins at byte `start`; does nothing when it would not lie inside
  /// the block.
  @inline(__always)
  public func store<Value>(_ value: Value, _ field: Field<Value>, of start: Int = 0) {
    store(value, at: start + field.offset)
  }
}
