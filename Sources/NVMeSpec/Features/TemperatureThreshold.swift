/// The value of Temperature Threshold, which includes the sensor it is for (Base 2.0, section 5.27.1.3).
public struct TemperatureThreshold: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// The composite temperature's TMPSEL.
  public static let composite: UInt8 = 0
  /// The TMPSEL that means the composite temperature and every sensor, of Set Features only.
  public static let everySensor: UInt8 = 0xf

  /// - Parameters:
  ///   - temperature: kelvin.
  ///   - sensor: 0 for the composite temperature, 1...8 for a sensor, 15 for all of them.
  ///   - isUnder: whether temperatures at the threshold and below it are reported rather than those above.
  public init(_ temperature: UInt16, sensor: UInt8 = composite, isUnder: Bool = false) {
    rawValue = UInt32(temperature) | UInt32(sensor & 0xf) << 16 | (isUnder ? 1 << 20 : 0)
  }

  /// TMPTH: the threshold in kelvin.
  public var temperature: UInt16 { UInt16(truncatingIfNeeded: rawValue) }
  /// TMPSEL: 0 the composite temperature, 1...8 a sensor, 15 all of them.
  public var sensor: UInt8 { UInt8(truncatingIfNeeded: rawValue.field(16, 4)) }
  /// THSEL: 0 the threshold above which, 1 the one below which a temperature is reported.
  public var kind: UInt8 { UInt8(truncatingIfNeeded: rawValue.field(20, 2)) }
  /// TMPSEL and THSEL, which together select a threshold.
  public var selectors: UInt32 { rawValue.field(16, 6) }
}
