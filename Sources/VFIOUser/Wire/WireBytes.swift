/// Takes little-endian integers from bytes in order; nil where they end too soon.
public struct WireReader {
  private let bytes: UnsafeRawBufferPointer
  private var offset = 0

  public init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  /// The remaining bytes.
  public var rest: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: bytes[offset...]) }

  public mutating func uint16() -> UInt16? { integer() }
  public mutating func uint32() -> UInt32? { integer() }
  public mutating func uint64() -> UInt64? { integer() }

  private mutating func integer<Value: FixedWidthInteger>() -> Value? {
    let size = MemoryLayout<Value>.size
    guard bytes.count - offset >= size else { return nil }
    defer { offset += size }
    return Value(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: Value.self))
  }
}

/// Gathers little-endian integers into bytes.
public struct WireWriter {
  public private(set) var bytes: [UInt8] = []

  public init() {}

  public mutating func append<Value: FixedWidthInteger>(_ value: Value) {
    withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
  }

  public mutating func append(contentsOf other: some Collection<UInt8>) { bytes.append(contentsOf: other) }
}

/// The part of a message after its header.
public protocol MessagePayload {
  /// The payload in `bytes`; nil when they do not hold one.
  init?(decoding bytes: UnsafeRawBufferPointer)
  /// Appends the payload's bytes.
  func encode(to writer: inout WireWriter)
}

extension MessagePayload {
  /// The payload as bytes.
  public var encoded: [UInt8] {
    var writer = WireWriter()
    encode(to: &writer)
    return writer.bytes
  }

  /// The payload in `bytes`; nil when they do not hold one.
  public init?(decoding bytes: [UInt8]) {
    guard let value = bytes.withUnsafeBytes({ Self(decoding: $0) }) else { return nil }
    self = value
  }
}
