import Format

/// File contents that identify themselves: each 16 bytes contain the file, the write and the offset, and a
/// hash of them.
enum Stamp {
  /// The bytes that write number `write` puts at `offset` of file `file`.
  static func bytes(file: Int, write: UInt64, offset: UInt64, count: Int) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      var position = 0
      while position < count {
        let place = offset + UInt64(position)
        let word = place / 8
        let value = Self.word(file: file, write: write, index: word).littleEndian
        let first = Int(place % 8)
        let length = min(8 - first, count - position)
        withUnsafeBytes(of: value) { source in
          for index in 0..<length { buffer[position + index] = source[first + index] }
        }
        position += length
      }
      initialized = count
    }
  }

  private static func word(file: Int, write: UInt64, index: UInt64) -> UInt64 {
    let name = UInt64(truncatingIfNeeded: file) << 48 | (write & 0xff_ffff) << 24 | (index / 512 & 0xff_ffff)
    return index & 1 == 0 ? name : SeededRandom.mix(name ^ index &* 0x9E37_79B9_7F4A_7C15) | 1
  }

  /// What a block seems to be, in words.
  static func describe(_ bytes: ArraySlice<UInt8>) -> String {
    if bytes.allSatisfy({ $0 == 0 }) { return "zeros" }
    guard bytes.count >= 8 else { return "bytes \(Array(bytes))" }
    func name(at offset: Int) -> String {
      var word: UInt64 = 0
      for index in (0..<8).reversed() { word = word << 8 | UInt64(bytes[bytes.startIndex + offset + index]) }
      return "file \(word >> 48) write \(word >> 24 & 0xff_ffff) block \(word & 0xff_ffff)"
    }
    var seen: [String] = []
    for offset in stride(from: 0, through: bytes.count - 8, by: 16) {
      let found = name(at: offset)
      if seen.last != found { seen.append(found) }
    }
    return seen.prefix(6).joined(separator: ", ")
  }
}
