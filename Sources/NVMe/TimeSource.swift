import CMachine
import Glibc

/// Where the driver takes its time from and how it waits while it may block (opening, closing, tools' admin
/// commands). Tests put their own in its place.
public struct TimeSource {
  /// The time in nanoseconds on a clock that never goes back.
  public var now: () -> UInt64
  /// Blocks the calling thread for about so many nanoseconds.
  public var sleep: (UInt64) -> Void
  /// Whether `now` is the machine's monotonic clock, which a queue pair may read by shorter ways.
  private(set) var isSystem = false

  /// A time source of the caller's.
  public init(now: @escaping () -> UInt64, sleep: @escaping (UInt64) -> Void) {
    self.now = now
    self.sleep = sleep
  }

  /// The machine's monotonic clock.
  public static var system: TimeSource {
    var source = TimeSource(
      now: { cm_monotonic_ns() },
      sleep: { nanoseconds in
        let second: UInt64 = 1_000_000_000
        var time = timespec(tv_sec: Int(nanoseconds / second), tv_nsec: Int(nanoseconds % second))
        nanosleep(&time, nil)
      })
    source.isSystem = true
    return source
  }
}

extension TimeSource {
  /// Milliseconds since 1970.
  static var millisecondsSince1970: UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return UInt64(max(time.tv_sec, 0)) &* 1000 &+ UInt64(max(time.tv_nsec, 0)) / 1_000_000
  }
}

extension UInt64 {
  /// One millisecond in nanoseconds.
  static let millisecond: UInt64 = 1_000_000
  /// One second in nanoseconds.
  static let second: UInt64 = 1_000_000_000
}
