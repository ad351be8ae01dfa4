import JSONValue

/// Named values of one thing, printed a line each or as a JSON object.
struct Fields {
  private var all: [(name: String, value: JSON, text: String)] = []

  init() {}

  /// Adds a value. People see `text` where it is given, and otherwise what JSON has.
  mutating func add(_ name: String, _ value: JSON, _ text: String? = nil) {
    all.append((name, value, text ?? Self.plain(value)))
  }

  /// Adds a whole number.
  mutating func add(_ name: String, _ value: some BinaryInteger, _ text: String? = nil) {
    add(name, .integer(value), text)
  }

  /// Adds a whole number that people see in hexadecimal.
  mutating func add(hexadecimal value: some BinaryInteger, _ name: String) {
    add(name, .integer(value), "0x\(varve.hexadecimal(value))")
  }

  /// Adds a text.
  mutating func add(_ name: String, _ value: String) { add(name, .text(value)) }

  /// The values as members of an object.
  var json: JSON { .object(all.map { ($0.name, $0.value) }) }

  /// A line for each value, the values under each other.
  var text: String {
    let width = all.map(\.name.count).max() ?? 0
    return all.map { field in
      "\(field.name)\(String(repeating: " ", count: width - field.name.count)) : \(field.text)"
    }.joined(separator: "\n")
  }

  /// All values in one line, the first without its name.
  var line: String {
    all.enumerated().map { $0 == 0 ? $1.text : "\($1.name)=\($1.text)" }.joined(separator: " ")
  }

  private static func plain(_ value: JSON) -> String {
    switch value {
    case .null: "-"
    case .text(let text): text
    case .array(let values): values.map(plain).joined(separator: ", ")
    default: "\(value)"
    }
  }
}
