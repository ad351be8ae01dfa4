import JSONValue

/// Counters by their Swift names, for all output.
public enum Counts {
  /// The whole numbers and flags of a structure as members, with its property names in snake case. New
  /// properties of the structure appear without a change here.
  public static func members(of counters: Any) -> [(name: String, value: JSON)] {
    Mirror(reflecting: counters).children.compactMap { child in
      guard let label = child.label, let value = value(child.value) else { return nil }
      return (name(label), value)
    }
  }

  private static func value(_ any: Any) -> JSON? {
    switch any {
    case let number as UInt64: .integer(number)
    case let number as Int: .integer(number)
    case let number as UInt32: .integer(number)
    case let flag as Bool: .bool(flag)
    default: nil
    }
  }

  /// `badCommandIDs` as `bad_command_ids`.
  static func name(_ label: String) -> String {
    var result = ""
    var wasCapital = true
    for character in label {
      if character.isUppercase, !wasCapital { result.append("_") }
      wasCapital = character.isUppercase
      result += character.lowercased()
    }
    return result
  }
}
