extension String {
  /// The text in a form that is safe to print on a terminal: control characters, and those that change the
  /// direction of writing, are escaped as \xHH or \u{HHHH}. Newlines and tabs are kept.
  public var printable: String {
    guard unicodeScalars.contains(where: \.controlsTerminal) else { return self }
    return unicodeScalars.map { scalar in
      guard scalar.controlsTerminal else { return String(scalar) }
      let digits = String(scalar.value, radix: 16)
      return scalar.value < 256 ? "\\x" + (digits.count < 2 ? "0" : "") + digits : "\\u{\(digits)}"
    }.joined()
  }
}

extension Unicode.Scalar {
  fileprivate var controlsTerminal: Bool {
    switch value {
    case 0x09, 0x0a: false
    case ..<0x20, 0x7f..<0xa0, 0x200e...0x200f, 0x2028...0x202e, 0x2066...0x2069: true
    default: false
    }
  }
}
