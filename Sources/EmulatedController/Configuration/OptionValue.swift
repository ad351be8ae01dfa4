/// The text of an option of a device's name, read as a number, a duration, a flag or a name.
struct OptionValue {
  let key: String
  let text: String

  /// An error that names the option and says what is wrong with its value.
  func error(_ complaint: String) -> ConfigurationError {
    ConfigurationError("option \(key)=\(text) \(complaint)")
  }

  /// A plain integer within a range.
  func integer(in range: ClosedRange<Int>) throws(ConfigurationError) -> Int {
    guard let value = Int(text), range.contains(value) else {
      throw error("is not a number in \(range.lowerBound)...\(range.upperBound)")
    }
    return value
  }

  /// A number that may end in k, m, g or t, each `step` times the one before.
  func scaled(by step: UInt64) throws(ConfigurationError) -> UInt64 {
    let exponents: [Character: Int] = ["k": 1, "m": 2, "g": 3, "t": 4]
    let lower = text.lowercased()
    let exponent = lower.last.flatMap { exponents[$0] } ?? 0
    guard let value = UInt64(exponent == 0 ? lower : String(lower.dropLast())) else {
      throw error("is not a number, with or without k, m, g or t")
    }
    return try product(value, (0..<exponent).reduce(1) { scale, _ in scale * step })
  }

  /// A duration in nanoseconds, written with ns, us, ms or s.
  func duration() throws(ConfigurationError) -> UInt64 {
    for (unit, scale) in [("ns", UInt64(1)), ("us", 1000), ("ms", 1_000_000), ("s", 1_000_000_000)]
    where text.hasSuffix(unit) {
      guard let value = UInt64(text.dropLast(unit.count)) else { break }
      return try product(value, scale)
    }
    if text == "0" { return 0 }
    throw error("is not a time: a number with ns, us, ms or s")
  }

  /// 0 or 1.
  func flag() throws(ConfigurationError) -> Bool {
    switch text {
    case "0": return false
    case "1": return true
    default: throw error("is neither 0 nor 1")
    }
  }

  /// A serial number.
  func serial() throws(ConfigurationError) -> String {
    guard (1...20).contains(text.utf8.count), text.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) else {
      throw error("is not 1 to 20 printable ASCII characters")
    }
    return text
  }

  private func product(_ value: UInt64, _ scale: UInt64) throws(ConfigurationError) -> UInt64 {
    let (result, overflow) = value.multipliedReportingOverflow(by: scale)
    if overflow { throw error("is too large") }
    return result
  }
}
