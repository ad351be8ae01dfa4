import Format
import Glibc
import JSONValue

/// A moment as ISO 8601 has it, in UTC, from nanoseconds since 1970.
func timeText(_ nanoseconds: Int64) -> String {
  let billion: Int64 = 1_000_000_000
  var seconds = time_t(nanoseconds / billion)
  var fraction = nanoseconds % billion
  if fraction < 0 {
    seconds -= 1
    fraction += billion
  }
  var parts = tm()
  guard gmtime_r(&seconds, &parts) != nil else { return "\(nanoseconds) ns" }
  var buffer = [CChar](repeating: 0, count: 40)
  let count = strftime(&buffer, buffer.count, "%Y-%m-%dT%H:%M:%S", &parts)
  let digits = String(fraction)
  return String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self) + "."
    + String(repeating: "0", count: 9 - digits.count) + digits + "Z"
}

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
