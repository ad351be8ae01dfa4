/// An LBA format: the size of a logical block and of its metadata (NVM Command Set 1.0, figure 98).
public struct LBAFormat: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// A format of logical blocks of `1 << exponent` bytes with `metadata` bytes each.
  public init(exponent: UInt8, metadata: UInt16 = 0) {
    rawValue = UInt32(exponent) << 16 | UInt32(metadata)
  }

  /// MS: metadata of a logical block in bytes.
  public var metadataSize: UInt16 { UInt16(truncatingIfNeeded: rawValue) }
  /// LBADS: a logical block is `1 << value` bytes; 9 or more in a format that can be used.
  public var exponent: UInt8 { UInt8(truncatingIfNeeded: rawValue.field(16, 8)) }
  /// RP: relative performance, 0 best to 3 degraded.
  public var relativePerformance: UInt8 { UInt8(truncatingIfNeeded: rawValue.field(24, 2)) }

  /// The size of a logical block in bytes; nil for a format that is not available (LBADS below 9 or absurd).
  public var blockSize: Int? { (9...30).contains(exponent) ? 1 << Int(exponent) : nil }
}
