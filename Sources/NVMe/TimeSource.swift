import CMachine
import Glibc

/// The driver's clock, and its sleep where it may block (opening, closing, tools' admin commands). Tests
/// replace it.
public struct TimeSource {
  /// The time in nanoseconds on a clock that never goes back.
  public var now: () -> UInt64
  /// Blocks the calling thread for about the given nanoseconds.
  public var sleep: (UInt64) -> Void
  /// Whether `now` is the machine's monotonic clock, which a queue pair may read from the processor's
  /// counter.
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
