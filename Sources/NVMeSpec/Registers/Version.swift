/// VS: the version of the specification the controller follows (Base 2.0, section 3.1.3.2).
public struct Version: RawRepresentable, Hashable, Comparable, Sendable, CustomStringConvertible {
  public var rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  public init(_ major: UInt16, _ minor: UInt8, _ tertiary: UInt8 = 0) {
    rawValue = UInt32(major) << 16 | UInt32(minor) << 8 | UInt32(tertiary)
  }

  /// MJR.
  public var major: UInt16 { UInt16(truncatingIfNeeded: rawValue.field(16, 16)) }
  /// MNR.
  public var minor: UInt8 { UInt8(truncatingIfNeeded: rawValue.field(8, 8)) }
  /// TER.
  public var tertiary: UInt8 { UInt8(truncatingIfNeeded: rawValue) }

  public static func < (left: Version, right: Version) -> Bool { left.rawValue < right.rawValue }

  public var description: String { tertiary == 0 ? "\(major).\(minor)" : "\(major).\(minor).\(tertiary)" }
}
