import Glibc

/// The system's log, which journald reads too (syslog(3)).
public enum Syslog {
  /// Says once in whose name lines come.
  public static func open() { openlog("mount.varve", LOG_PID, LOG_DAEMON) }

  /// Writes a line.
  /// - Parameter priority: `LOG_ERR` and its like.
  public static func write(_ line: String, priority: Int32) {
    line.withCString { text in withVaList([OpaquePointer(text)]) { vsyslog(priority, "%s", $0) } }
  }
}
