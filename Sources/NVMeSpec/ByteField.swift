/// Access to the fields of a data structure by byte offset.
///
/// The specification's structures are little-endian, and so is every machine Swift runs on under Linux.
/// Reading past the end yields zeros and writing past the end does nothing, so that short or hostile data
/// cannot trap.
extension UnsafeRawBufferPointer {
  /// The unsigned integer at byte `offset`, 0 where the buffer is too short for it.
  package func value<T: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(
    at offset: Int, as type: T.Type = T.self
  ) -> T {
    guard offset >= 0, offset <= count - MemoryLayout<T>.size else { return 0 }
    return loadUnaligned(fromByteOffset: offset, as: type)
  }

  /// The bytes `offset ..< offset + length`, with zeros where the buffer is too short.
  package func bytes(at offset: Int, count length: Int) -> [UInt8] {
    (0..<length).map { value(at: offset + $0, as: UInt8.self) }
  }

  /// A fixed-width text field without its padding; bytes that are not printable ASCII read as `?`.
  package func text(at offset: Int, count length: Int) -> String {
    var characters = bytes(at: offset, count: length).prefix { $0 != 0 }
    while characters.last == 0x20 { characters.removeLast() }
    characters = characters.drop { $0 == 0x20 }
    return String(decoding: characters.map { (0x20...0x7e).contains($0) ? $0 : 0x3f }, as: UTF8.self)
  }
}

extension UnsafeMutableRawBufferPointer {
  /// Writes an unsigned integer at byte `offset`; does nothing where the buffer is too short for it.
  package func put<T: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(_ value: T, at offset: Int) {
    guard offset >= 0, offset <= count - MemoryLayout<T>.size else { return }
    storeBytes(of: value, toByteOffset: offset, as: T.self)
  }

  /// Writes bytes at `offset`, as many as fit.
  package func put(bytes: some Sequence<UInt8>, at offset: Int) {
    for (index, byte) in bytes.enumerated() { put(byte, at: offset + index) }
  }

  /// Writes a fixed-width text field, padded with `padding`, cut where it is longer than `length` bytes.
  package func put(text: String, at offset: Int, count length: Int, padding: UInt8 = 0x20) {
    for index in 0..<length { put(padding, at: offset + index) }
    put(bytes: text.utf8.prefix(length), at: offset)
  }

  /// Zeroes the whole buffer.
  package func clear() { _ = initializeMemory(as: UInt8.self, repeating: 0) }
}
