import Device
import Glibc
import Logging
import MountSession
import Synchronization

/// Sends log messages to syslog(3), which journald reads too: through the helper, once there is one.
struct SystemLog: LogHandler {
  /// The descriptor of the helper; -1 before there is one.
  static let helper = Atomic<Int32>(-1)
  /// Lines lost since the last that was not: the system's log was too slow.
  private static let lost = Atomic<Int>(0)

  var metadata: Logger.Metadata = [:]
  var logLevel: Logger.Level = .info

  init() { Syslog.open() }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    let fields = metadata.merging(event.metadata ?? [:]) { _, own in own }
    let suffix = fields.sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }.joined()
    let line = "\(event.message)\(suffix)".printable
    let helper = Self.helper.load(ordering: .relaxed)
    let priority = priority(event.level)
    if helper < 0 {
      Syslog.write(line, priority: priority)
    } else {
      Self.send(line, priority, by: helper)
    }
  }

  private static func send(_ line: String, _ priority: Int32, by helper: Int32) {
    guard Helper.log(line, priority: priority, by: helper) else {
      lost.add(1, ordering: .relaxed)
      return
    }
    let lost = lost.exchange(0, ordering: .relaxed)
    guard lost > 0 else { return }
    _ = Helper.log("\(lost) lines before this one were lost", priority: LOG_WARNING, by: helper)
  }

  private func priority(_ level: Logger.Level) -> Int32 {
    switch level {
    case .trace, .debug: LOG_DEBUG
    case .info: LOG_INFO
    case .notice: LOG_NOTICE
    case .warning: LOG_WARNING
    case .error: LOG_ERR
    case .critical: LOG_CRIT
    }
  }
}
