import CMachine
import Glibc

/// Going into the background: a child that mounts, and a parent that waits until it has.
enum Background {
  /// The child's message when the mount is usable.
  private static let usable = "usable"

  /// The child's end of the pipe to its parent.
  struct Parent {
    fileprivate let descriptor: Int32
    /// Replaces the standard streams. Opened early, because a confined daemon cannot open files.
    private var null: Int32 = -1

    fileprivate init(_ descriptor: Int32) { self.descriptor = descriptor }

    /// Reports to the parent that the mount is usable, and detaches from its terminal.
    /// - Returns: false when the parent has ended, because it was interrupted.
    func report() -> Bool {
      let told = send(Background.usable)
      if null >= 0 {
        for stream: Int32 in 0...2 { dup2(null, stream) }
        if null > 2 { close(null) }
      }
      return told
    }

    /// Closes inherited descriptors other than the standard streams: the daemon would otherwise hold a lock
    /// or a pipe of its caller as long as the mount exists.
    mutating func closeOthers() {
      let first: Int32 = 3
      if descriptor > first { _ = close_range(UInt32(first), UInt32(descriptor - 1), 0) }
      _ = cm_close_from(max(descriptor + 1, first))
      null = open("/dev/null", O_RDWR | O_CLOEXEC)
    }

    /// Reports to the parent why the mount failed.
    func fail(_ reason: String) { _ = send(reason) }

    private func send(_ text: String) -> Bool {
      defer { close(descriptor) }
      let bytes = Array(text.utf8)
      return write(descriptor, bytes, bytes.count) == bytes.count
    }
  }

  /// The result of the fork, in each process.
  enum Side {
    case child(Parent)
    /// In the parent, after the child has reported: nil, or the reason of the failure.
    case parent(failure: String?)
  }

  /// Forks the process, which must be single-threaded.
  /// - Returns: in the parent only when the child has mounted or failed.
  static func split() -> Side {
    var ends: [Int32] = [0, 0]
    guard pipe(&ends) == 0 else { return .parent(failure: "no pipe: \(String(cString: strerror(errno)))") }
    switch cm_fork() {
    case -1: return .parent(failure: "no new process: \(String(cString: strerror(errno)))")
    case 0:
      close(ends[0])
      _ = fcntl(ends[1], F_SETFD, FD_CLOEXEC)
      setsid()
      return .child(Parent(ends[1]))
    default:
      close(ends[1])
      let said = readAll(ends[0])
      if said == usable { return .parent(failure: nil) }
      return .parent(
        failure: said.isEmpty ? "the daemon died before the mount was usable; see the system's log" : said)
    }
  }

  private static func readAll(_ descriptor: Int32) -> String {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4096)
    while true {
      let count = read(descriptor, &chunk, chunk.count)
      if count > 0 { bytes += chunk[..<count] } else if count == 0 || errno != EINTR { break }
    }
    close(descriptor)
    return String(decoding: bytes, as: UTF8.self)
  }
}
