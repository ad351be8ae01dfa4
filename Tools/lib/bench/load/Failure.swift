import Glibc

/// A system call that failed.
struct Failure: Error, CustomStringConvertible {
  let description: String

  /// - Parameter action: what was tried, such as `create /mnt/f1`; the reason is taken from `errno`.
  init(_ action: String) { description = "cannot \(action): \(String(cString: strerror(errno)))" }
}
