import CMachine
import NVMeSpec

/// The contents of the SMART log: the temperature, and the counters over the device's life.
extension ControllerModel {
  /// Whether the composite temperature is at or beyond one of its thresholds.
  var hasReachedThreshold: Bool {
    temperature >= features.threshold(isUnder: false) || temperature <= features.threshold(isUnder: true)
  }

  /// Sets the composite temperature, in kelvin.
  mutating func setTemperature(_ new: UInt16) {
    let had = hasReachedThreshold
    temperature = new
    if hasReachedThreshold, !had { report(.temperature) }
  }

  /// The counters as they are now.
  var counters: LifetimeCounters {
    var counters = lifetime
    counters.secondsOn += Int(now > start ? (now - start) / 1_000_000_000 : 0)
    counters.reads += statistics.reads
    counters.writes += statistics.writes
    counters.bytesRead += statistics.bytesRead
    counters.bytesWritten += statistics.bytesWritten
    counters.mediaErrors += statistics.mediaErrors
    counters.errors = Int(clamping: errorLog.total)
    return counters
  }

  /// Stores the counters with the image.
  func keepCounters() { namespaces.counters?.keep(counters) }

  /// Power on, for the first time in this process: the counters continue from those stored with the image.
  mutating func loadCounters() {
    readClock()
    start = now
    features.timestamp.at = now
    lifetime = namespaces.counters?.load() ?? LifetimeCounters()
    lifetime.powerOn()
    errorLog = ErrorLog(total: UInt64(lifetime.errors))
    keepCounters()
  }

  /// Counts a power cut.
  mutating func countPowerCut() {
    if !lifetime.isShutDown { statistics.unsafeShutdowns += 1 }
    lifetime.powerOn()
    keepCounters()
  }

  /// Records, with the image too, whether the host has sent a shutdown notification.
  mutating func recordShutdown(_ isShutDown: Bool) {
    guard lifetime.isShutDown != isShutDown else { return }
    lifetime.isShutDown = isShutDown
    keepCounters()
  }
}
