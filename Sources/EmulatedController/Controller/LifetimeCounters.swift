/// What the SMART log counts over the life of a device, which is longer than its process.
struct LifetimeCounters: Hashable {
  var powerCycles = 0
  /// Power losses without a shutdown notification before.
  var unsafeShutdowns = 0
  /// Seconds with power.
  var secondsOn = 0
  var reads = 0
  var writes = 0
  var bytesRead = 0
  var bytesWritten = 0
  var mediaErrors = 0
  /// Entries added to the error log.
  var errors = 0
  /// Whether the host has sent a shutdown notification and has not used the device since.
  var isShutDown = true

  /// The counters of a new device.
  init() {}

  private static let numbers: [WritableKeyPath<LifetimeCounters, Int> & Sendable] = [
    \.powerCycles, \.unsafeShutdowns, \.secondsOn, \.reads, \.writes, \.bytesRead, \.bytesWritten,
    \.mediaErrors, \.errors,
  ]

  /// A stored counter above this is rejected, so that none can overflow.
  private static let limit = 1 << 60

  /// Parses the form of `text`; nil when it is malformed.
  init?(text: String) {
    let values = text.split(separator: " ").map { Int($0) ?? -1 }
    guard values.count == Self.numbers.count + 1, values.allSatisfy({ (0...Self.limit).contains($0) }) else {
      return nil
    }
    for (number, value) in zip(Self.numbers, values) { self[keyPath: number] = value }
    isShutDown = values.last == 1
  }

  /// The numbers in decimal, the last one 1 after a shutdown.
  var text: String {
    let values = Self.numbers.map { self[keyPath: $0] } + [isShutDown ? 1 : 0]
    return values.map { "\($0)" }.joined(separator: " ")
  }

  /// Counts a power-on.
  mutating func powerOn() {
    powerCycles += 1
    if !isShutDown { unsafeShutdowns += 1 }
    isShutDown = false
  }
}
