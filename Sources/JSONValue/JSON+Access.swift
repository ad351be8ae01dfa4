/// Access to the parts of a value.
extension JSON {
  /// The value of an object's member; nil where there is none. The first of several.
  public subscript(_ name: String) -> JSON? {
    guard case .object(let members) = self else { return nil }
    return members.first { $0.name == name }?.value
  }

  /// The text; nil for any other value.
  public var text: String? { if case .text(let text) = self { text } else { nil } }

  /// The values of an array; none for any other value.
  public var values: [JSON] { if case .array(let values) = self { values } else { [] } }

  /// The members of an object; none for any other value.
  public var members: [(name: String, value: JSON)] {
    if case .object(let members) = self { members } else { [] }
  }

  /// The whole number; nil where it is none or does not fit.
  public func integer<Number: FixedWidthInteger>(_ type: Number.Type = Number.self) -> Number? {
    if case .number(let digits) = self { Number(digits) } else { nil }
  }

  /// Whether it is `true`.
  public var isTrue: Bool { if case .bool(true) = self { true } else { false } }
}
