import Glibc

/// The system's log, which journald reads too (syslog(3)).
public enum Syslog {
  /// Sets the name under which lines are logged.
  public static func open() { openlog("mount.varve", LOG_PID, LOG_DAEMON) }

  /// Writes a line.
  /// - Parameter priority: `LOG_ERR` and the like.
  public static func write(_ line: String, priority: Int32) {
    line.withCString { text in withVaList([OpaquePointer(text)]) { vsyslog(priority, "%s", $0) } }
  }
}
