import Glibc

/// Converts between the kernel's times (seconds and nanoseconds) and the filesystem's (nanoseconds since
/// 1970).
enum KernelTime {
  private static let second: Int64 = 1_000_000_000

  /// Seconds, which may be before 1970, and the nanoseconds after them.
  static func split(_ nanoseconds: Int64) -> timespec {
    let rest = nanoseconds % second
    let isBefore = rest < 0
    return timespec(
      tv_sec: Int(nanoseconds / second) - (isBefore ? 1 : 0), tv_nsec: Int(isBefore ? rest + second : rest))
  }

  /// Nanoseconds since 1970, clamped to the range of Int64.
  static func join(_ time: timespec) -> Int64 {
    let (product, overflow) = Int64(time.tv_sec).multipliedReportingOverflow(by: second)
    guard !overflow else { return time.tv_sec < 0 ? .min : .max }
    let (sum, carried) = product.addingReportingOverflow(Int64(time.tv_nsec))
    return carried ? .max : sum
  }
}
