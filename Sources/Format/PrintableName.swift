extension [UInt8] {
  /// A name for messages: valid UTF-8 without control characters is unchanged; in any other name every byte
  /// that is not printable ASCII is shown as \xHH.
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
