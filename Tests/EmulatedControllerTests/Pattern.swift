import TestSupport

extension SplitMix {
  /// Bytes that differ from offset to offset, cheap to generate.
  mutating func pattern(_ count: Int) -> [UInt8] {
    let words = (0..<(count + 7) / 8).map { _ in next() }
    return words.withUnsafeBytes { Array($0.prefix(count)) }
  }
}
