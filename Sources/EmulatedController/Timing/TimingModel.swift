/// When a command is done: a latency that is the same for each of any number of commands, and rates that they
/// share.
struct TimingModel {
  private let latency: UInt64
  private let commandsPerSecond: UInt64
  private let bytesPerSecond: UInt64
  /// When the device has served the rates of all commands so far.
  private var free: UInt64 = 0

  private static let second: UInt64 = 1_000_000_000

  init(_ configuration: EmulatedController.Configuration) {
    latency = configuration.latency
    commandsPerSecond = configuration.commandsPerSecond
    bytesPerSecond = configuration.bytesPerSecond
  }

  /// Whether commands take any time.
  var isActive: Bool { latency != 0 || commandsPerSecond != 0 || bytesPerSecond != 0 }

  /// When a command that arrives at `now` with `bytes` bytes of data is done (ns).
  mutating func due(now: UInt64, bytes: Int) -> UInt64 {
    let start = max(now, free)
    let perCommand = commandsPerSecond == 0 ? 0 : Self.second / commandsPerSecond
    let transfer = bytesPerSecond == 0 ? 0 : Self.time(bytes, bytesPerSecond)
    free = start.saturatingAdd(max(perCommand, transfer))
    return free.saturatingAdd(latency)
  }

  /// Forgets all outstanding commands.
  mutating func reset() { free = 0 }

  private static func time(_ bytes: Int, _ rate: UInt64) -> UInt64 {
    let (high, low) = UInt64(bytes).multipliedFullWidth(by: second)
    guard high < rate else { return .max }
    return rate.dividingFullWidth((high, low)).quotient
  }
}

extension UInt64 {
  /// The sum, or `UInt64.max` on overflow.
  func saturatingAdd(_ other: UInt64) -> UInt64 {
    let (sum, overflow) = addingReportingOverflow(other)
    return overflow ? .max : sum
  }
}
