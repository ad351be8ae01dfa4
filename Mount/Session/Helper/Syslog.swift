import Glibc

/// The system's log, which journald reads too (syslog(3)).
public enum Syslog {
  /// The name under which lines are logged: at a fixed address, as openlog(3) keeps the pointer.
  private static let name = "mount.varve" as StaticString

  /// Sets the name under which lines are logged.
  public static func open() {
    name.withUTF8Buffer { name in
      name.withMemoryRebound(to: CChar.self) { openlog($0.baseAddress, LOG_PID, LOG_DAEMON) }
    }
  }

  /// Writes a line.
  /// - Parameter priority: `LOG_ERR` and the like.
  public static func write(_ line: String, priority: Int32) {
    line.withCString { text in withVaList([OpaquePointer(text)]) { vsyslog(priority, "%s", $0) } }
  }
}
