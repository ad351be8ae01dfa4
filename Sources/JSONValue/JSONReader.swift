/// Why a text is not JSON, and at which byte that shows.
public struct JSONError: Error, Equatable, Sendable, CustomStringConvertible {
  public let problem: String
  /// Bytes from the start of the text.
  public let position: Int

  public var description: String { "\(problem) at byte \(position)" }
}

extension JSON {
  /// How deep arrays and objects may be nested.
  public static let depthLimit = 32

  /// Reads a text by RFC 8259. Any input gives a value or an error.
  /// - Throws: `JSONError`.
  public init(reading bytes: some Collection<UInt8>) throws(JSONError) {
    var reader = JSONReader(bytes: Array(bytes))
    self = try reader.document()
  }

  /// Reads a text.
  /// - Throws: `JSONError`.
  public init(reading text: String) throws(JSONError) { try self.init(reading: text.utf8) }
}

/// A position in a text, and what JSON's grammar allows there.
private struct JSONReader {
  let bytes: [UInt8]
  var position = 0
  var depth = 0

  private func error(_ problem: String) -> JSONError { JSONError(problem: problem, position: position) }

  private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

  mutating func document() throws(JSONError) -> JSON {
    let value = try value()
    skipBlanks()
    guard next == nil else { throw error("something follows the value") }
    return value
  }

  private mutating func skipBlanks() {
    while let byte = next, byte == 0x20 || (0x9...0xd).contains(byte) && byte != 0xb && byte != 0xc {
      position += 1
    }
  }

  /// Skips a byte if it is the next one.
  private mutating func take(_ character: Unicode.Scalar) -> Bool {
    guard next == UInt8(ascii: character) else { return false }
    position += 1
    return true
  }

  private mutating func value() throws(JSONError) -> JSON {
    skipBlanks()
    switch next {
    case UInt8(ascii: "{"): return try nested { reader throws(JSONError) in try reader.object() }
    case UInt8(ascii: "["): return try nested { reader throws(JSONError) in try reader.array() }
    case UInt8(ascii: "\""): return .text(try string())
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    default: return .number(try number())
    }
  }

  private mutating func nested(
    _ body: (inout JSONReader) throws(JSONError) -> JSON
  ) throws(JSONError) -> JSON {
    guard depth < JSON.depthLimit else { throw error("values lie too deep in each other") }
    depth += 1
    position += 1
    let value = try body(&self)
    depth -= 1
    return value
  }

  private mutating func object() throws(JSONError) -> JSON {
    var members: [(name: String, value: JSON)] = []
    skipBlanks()
    if take("}") { return .object(members) }
    while true {
      skipBlanks()
      let name = try string()
      skipBlanks()
      guard take(":") else { throw error("no colon after a name") }
      members.append((name, try value()))
      skipBlanks()
      if take("}") { return .object(members) }
      guard take(",") else { throw error("neither a comma nor the end of an object") }
    }
  }

  private mutating func array() throws(JSONError) -> JSON {
    var values: [JSON] = []
    skipBlanks()
    if take("]") { return .array(values) }
    while true {
      values.append(try value())
      skipBlanks()
      if take("]") { return .array(values) }
      guard take(",") else { throw error("neither a comma nor the end of an array") }
    }
  }

  private mutating func word(_ text: StaticString, _ value: JSON) throws(JSONError) -> JSON {
    let word = text.withUTF8Buffer { Array($0) }
    guard bytes[position...].starts(with: word) else { throw error("no value") }
    position += word.count
    return value
  }

  // MARK: Numbers

  private mutating func number() throws(JSONError) -> String {
    let start = position
    _ = take("-")
    if !take("0"), !digits() { throw error("no value") }
    if take("."), !digits() { throw error("no digit after the point") }
    if take("e") || take("E") {
      if !take("+") { _ = take("-") }
      guard digits() else { throw error("no digit in the exponent") }
    }
    return String(decoding: bytes[start..<position], as: UTF8.self)
  }

  /// Skips digits.
  /// - Returns: whether there were any.
  private mutating func digits() -> Bool {
    let start = position
    while let byte = next, (0x30...0x39).contains(byte) { position += 1 }
    return position > start
  }

  // MARK: Texts

  private mutating func string() throws(JSONError) -> String {
    guard take("\"") else { throw error("no text") }
    var text: [UInt8] = []
    while let byte = next {
      position += 1
      switch byte {
      case UInt8(ascii: "\""): return String(decoding: text, as: UTF8.self)
      case UInt8(ascii: "\\"): text += Array(String(try escape()).utf8)
      case 0..<0x20: throw error("a control character in a text")
      default: text.append(byte)
      }
    }
    throw error("a text without end")
  }

  private static let escapes: [UInt8: Unicode.Scalar] = [
    UInt8(ascii: "\""): "\"", UInt8(ascii: "\\"): "\\", UInt8(ascii: "/"): "/", UInt8(ascii: "b"): "\u{8}",
    UInt8(ascii: "f"): "\u{c}", UInt8(ascii: "n"): "\n", UInt8(ascii: "r"): "\r", UInt8(ascii: "t"): "\t",
  ]

  private mutating func escape() throws(JSONError) -> Character {
    guard let kind = next else { throw error("a text without end") }
    position += 1
    if let scalar = Self.escapes[kind] { return Character(scalar) }
    guard kind == UInt8(ascii: "u") else { throw error("an unknown escape") }
    let first = try unit()
    guard (0xd800...0xdfff).contains(first) else { return Character(Unicode.Scalar(first) ?? "\u{fffd}") }
    // A pair of surrogates stands for one character.
    guard first < 0xdc00, take("\\"), take("u") else { throw error("half a surrogate pair") }
    let second = try unit()
    guard (0xdc00...0xdfff).contains(second) else { throw error("half a surrogate pair") }
    let scalar = 0x10000 + (UInt32(first) - 0xd800) << 10 + (UInt32(second) - 0xdc00)
    return Character(Unicode.Scalar(scalar) ?? "\u{fffd}")
  }

  /// Four hexadecimal digits.
  private mutating func unit() throws(JSONError) -> UInt16 {
    guard position + 4 <= bytes.count,
      bytes[position..<position + 4].allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }),
      let unit = UInt16(String(decoding: bytes[position..<position + 4], as: UTF8.self), radix: 16)
    else { throw error("no four hexadecimal digits") }
    position += 4
    return unit
  }
}
