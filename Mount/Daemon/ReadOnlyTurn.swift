import CMachine
import Glibc
import MountSession

/// Makes a mount read-only from within its daemon.
///
/// The kernel does it, and has the daemon write meanwhile what was not written yet. So another process asks the kernel, again and
/// again as long as files are open for writing.
final class ReadOnlyTurn {
  /// How mount.varve is told to be that process, before the directory.
  static let flag = "--become-read-only"
  /// How often it is tried (ns).
  private static let interval: UInt64 = 10_000_000_000

  private let path: String
  private var process: pid_t = 0
  private var nextTry: UInt64 = 0
  private var isDone = false

  init(_ path: String) { self.path = path }

  /// Begins a try when it is time, and looks how the last has ended.
  /// - Returns: whether the mount has just become read-only.
  func advance() -> Bool {
    guard !isDone else { return false }
    if process != 0 {
      var status: Int32 = 0
      guard waitpid(process, &status, WNOHANG) == process else { return false }
      process = 0
      isDone = status == 0
      return isDone
    }
    let now = cm_monotonic_ns()
    guard now >= nextTry else { return false }
    nextTry = now + Self.interval
    start()
    return false
  }

  private func start() {
    let arguments = ["mount.varve", Self.flag, path]
    let words: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
    defer { for word in words { free(word) } }
    if posix_spawn(&process, "/proc/self/exe", nil, nil, words, environ) != 0 { process = 0 }
  }

  /// The life of the process; ends it.
  static func run(_ path: String) -> Never {
    do throws(MountError) {
      try MountPoint.existing(path).becomeReadOnly()
      exit(0)
    } catch {
      exit(1)
    }
  }
}
