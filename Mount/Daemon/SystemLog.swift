import Device
import Glibc
import Logging
import MountSession
import Synchronization

/// Sends log messages to syslog(3), which journald reads too: by the helper, once there is one.
struct SystemLog: LogHandler {
  /// The descriptor of the helper; -1 before there is one.
  static let helper = Atomic<Int32>(-1)

  var metadata: Logger.Metadata = [:]
  var logLevel: Logger.Level = .info

  init() { openlog("mount.varve", LOG_PID, LOG_DAEMON) }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    let fields = metadata.merging(event.metadata ?? [:]) { _, own in own }
    let suffix = fields.sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }.joined()
    let line = "\(event.message)\(suffix)".printable
    let helper = Self.helper.load(ordering: .relaxed)
    guard helper < 0 else { return Helper.log(line, priority: priority(event.level), by: helper) }
    line.withCString { text in
      withVaList([OpaquePointer(text)]) { vsyslog(priority(event.level), "%s", $0) }
    }
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
