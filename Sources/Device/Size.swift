/// Sizes as text.
public enum Size {
  /// Bytes of `4G`, `512M`, `1048576`: a number with an optional K, M, G or T (powers of 1024, an `iB` or `B`
  /// may follow). Nil when it is no size.
  public static func bytes(_ text: String) -> UInt64? {
    var digits = text.uppercased()
    if digits.hasSuffix("IB") { digits.removeLast(2) } else if digits.hasSuffix("B") { digits.removeLast() }
    let shift: UInt64
    switch digits.last {
    case "K": shift = 10
    case "M": shift = 20
    case "G": shift = 30
    case "T": shift = 40
    default: shift = 0
    }
    if shift > 0 { digits.removeLast() }
    guard let number = UInt64(digits) else { return nil }
    let (bytes, overflows) = number.multipliedReportingOverflow(by: 1 << shift)
    return overflows ? nil : bytes
  }

  /// A size as text: `4.0 GiB`.
  public static func text(_ bytes: UInt64) -> String {
    var value = Double(bytes)
    for unit in ["B", "KiB", "MiB", "GiB", "TiB"] {
      if value < 1024 || unit == "TiB" {
        let tenths = (value * 10).rounded() / 10
        return unit == "B" ? "\(bytes) B" : "\(tenths) \(unit)"
      }
      value /= 1024
    }
    return "\(bytes) B"
  }
}
