import Glibc

/// Descriptors as ancillary data of a socket (unix(7), SCM_RIGHTS).
///
/// A control message is a header of 16 bytes (length with header, level, type) and its data, padded to 8
/// bytes.
enum ControlData {
  private static let headerSize = 16
  private static let rights: Int32 = 1
  /// The most descriptors the kernel passes at once.
  static let limit = 253
  /// The room for `count` descriptors, in bytes.
  static func room(for count: Int) -> Int { headerSize + (min(max(count, 0), limit) * 4 + 7) / 8 * 8 }

  /// Writes descriptors as one control message.
  /// - Returns: the bytes used; 0 when there are none.
  static func encode(_ descriptors: [Int32], into buffer: UnsafeMutableRawBufferPointer) -> Int {
    guard !descriptors.isEmpty, descriptors.count <= limit, buffer.count >= room(for: descriptors.count)
    else { return 0 }
    let length = headerSize + descriptors.count * 4
    buffer.storeBytes(of: length, as: Int.self)
    buffer.storeBytes(of: SOL_SOCKET, toByteOffset: 8, as: Int32.self)
    buffer.storeBytes(of: rights, toByteOffset: 12, as: Int32.self)
    for (index, descriptor) in descriptors.enumerated() {
      buffer.storeBytes(of: descriptor, toByteOffset: headerSize + index * 4, as: Int32.self)
    }
    return (length + 7) / 8 * 8
  }

  /// Calls `body` with each descriptor in the control messages of `buffer`.
  static func forEach(in buffer: UnsafeRawBufferPointer, _ body: (Int32) -> Void) {
    var offset = 0
    while buffer.count - offset >= headerSize {
      let length = buffer.load(fromByteOffset: offset, as: Int.self)
      guard length >= headerSize, length <= buffer.count - offset else { return }
      if buffer.load(fromByteOffset: offset + 8, as: Int32.self) == SOL_SOCKET,
        buffer.load(fromByteOffset: offset + 12, as: Int32.self) == rights
      {
        for index in 0..<(length - headerSize) / 4 {
          body(buffer.load(fromByteOffset: offset + headerSize + index * 4, as: Int32.self))
        }
      }
      offset += (length + 7) / 8 * 8
    }
  }
}
