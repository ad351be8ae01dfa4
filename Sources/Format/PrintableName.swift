extension [UInt8] {
  /// A name for people: valid UTF-8 without control characters as it is, else all that is not printable ASCII as \xHH.
  public var printable: String {
    if let text = String(validating: self, as: UTF8.self), !contains(where: { $0 < 32 || $0 == 127 }) {
      return text
    }
    return map { byte in
      (32..<127).contains(byte)
        ? String(UnicodeScalar(byte)) : "\\x" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
    }.joined()
  }
}
