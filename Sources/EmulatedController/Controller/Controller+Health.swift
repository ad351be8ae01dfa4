import NVMeSpec

/// What the SMART log tells of the temperature.
extension Controller {
  /// Whether the composite temperature is at or beyond one of its thresholds.
  var hasReachedThreshold: Bool {
    temperature >= features.threshold(isUnder: false) || temperature <= features.threshold(isUnder: true)
  }

  /// The composite temperature changes, in kelvin.
  mutating func setTemperature(_ new: UInt16) {
    let had = hasReachedThreshold
    temperature = new
    if hasReachedThreshold, !had { report(.temperature) }
  }
}
