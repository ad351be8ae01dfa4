import CFuse3
import Glibc
import Synchronization

/// libfuse's messages, kept for the error they explain instead of being printed.
enum LibraryLog {
  private static let last = Mutex<String>("")

  /// Captures libfuse's log in this process.
  static func capture() {
    fuse_set_log_func { _, format, arguments in
      guard let format, let arguments else { return }
      let text = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 512) { line in
        vsnprintf(line.baseAddress, line.count, format, arguments)
        return line.baseAddress.map { String(cString: $0) } ?? ""
      }
      let trimmed = text.drop { $0 == " " }.prefix { $0 != "\n" }
      LibraryLog.last.withLock { $0 = String(trimmed) }
    }
  }

  /// Takes the last message; the text of errno when there was none.
  static func take() -> String {
    let code = errno
    let message = last.withLock { message in
      defer { message = "" }
      return message
    }
    return message.isEmpty ? String(cString: strerror(code)) : message
  }
}
