import Format
import Glibc
import JSONValue

extension NodeID {
  /// Number and generation: `12/3`.
  var text: String { "\(number)/\(generation)" }
}

/// A name as it lies on disk: bytes, most often UTF-8.
struct NameBytes {
  let bytes: [UInt8]

  init(_ bytes: some Sequence<UInt8>) { self.bytes = Array(bytes) }

  /// The name as members of an object: as text, and in hexadecimal where it is no UTF-8.
  func members(_ name: String = "name") -> [(name: String, value: JSON)] {
    let text = (name, JSON.text(String(decoding: bytes, as: UTF8.self)))
    guard String(validating: bytes, as: UTF8.self) == nil else { return [text] }
    return [text, ("\(name)_hex", .text(hexadecimal(bytes)))]
  }

  /// The name with everything that is not printable ASCII or UTF-8 as `\xNN`.
  var text: String {
    if let text = String(validating: bytes, as: UTF8.self),
      !text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control })
    {
      return text
    }
    return bytes.map { byte in
      (0x20...0x7e).contains(byte) ? String(UnicodeScalar(byte)) : "\\x\(hexadecimal(byte, digits: 2))"
    }.joined()
  }
}
