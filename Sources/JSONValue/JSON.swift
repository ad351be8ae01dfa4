/// A JSON value whose members keep their order.
public enum JSON: Sendable {
  case null
  case bool(Bool)
  /// A number as its digits.
  case number(String)
  case text(String)
  case array([JSON])
  case object([(name: String, value: JSON)])

  /// A whole number of any size.
  public static func integer(_ value: some BinaryInteger) -> JSON { .number(String(value)) }

  /// A measured figure; null when it is not finite.
  public static func real(_ value: Double) -> JSON { value.isFinite ? .number("\(value)") : .null }

  /// A text, or null.
  public static func text(_ value: String?) -> JSON { value.map { .text($0) } ?? .null }

  /// A whole number, or null.
  public static func integer(_ value: Int?) -> JSON { value.map { .integer($0) } ?? .null }
}

extension JSON: CustomStringConvertible {
  /// The value over several lines, indented by two blanks a level.
  public var description: String { written(indent: "") }

  private func written(indent: String) -> String {
    switch self {
    case .null: "null"
    case .bool(let value): value ? "true" : "false"
    case .number(let digits): digits
    case .text(let text): Self.quoted(text)
    case .array(let values):
      Self.block(values.map { $0.written(indent: indent + "  ") }, "[", "]", indent)
    case .object(let members):
      Self.block(
        members.map { "\(Self.quoted($0.name)): \($0.value.written(indent: indent + "  "))" }, "{", "}",
        indent)
    }
  }

  /// The value in one line, without blanks between its parts.
  public var line: String {
    switch self {
    case .array(let values): "[" + values.map(\.line).joined(separator: ",") + "]"
    case .object(let members):
      "{" + members.map { "\(Self.quoted($0.name)):\($0.value.line)" }.joined(separator: ",") + "}"
    default: written(indent: "")
    }
  }

  private static func block(_ parts: [String], _ open: String, _ close: String, _ indent: String) -> String {
    guard !parts.isEmpty else { return open + close }
    return open + "\n" + parts.map { "\(indent)  \($0)" }.joined(separator: ",\n") + "\n\(indent)\(close)"
  }

  /// A string in RFC 8259's form, quoted and escaped.
  private static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\t": result += "\\t"
      case "\u{0}"..."\u{1f}", "\u{7f}": result += escaped(scalar)
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }

  /// A control character as four hexadecimal digits.
  private static func escaped(_ scalar: Unicode.Scalar) -> String {
    let digits = String(scalar.value, radix: 16)
    return "\\u" + String(repeating: "0", count: max(0, 4 - digits.count)) + digits
  }
}
