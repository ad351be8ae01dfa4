import CMachine
import Glibc

/// The clock of a queue pair, which reads it twice for a command: the processor's own counter where the
/// kernel uses it as its clock too, synchronized with the time source every few milliseconds.
///
/// It never goes back, and differs from the time source by at most the correction of that within `interval`.
@usableFromInline
struct Clock {
  /// How long the counter is used before it is synchronized again (ns), and how long its rate is measured
  /// before it is used.
  static let interval: UInt64 = 10 * .millisecond

  private let source: TimeSource
  private let trustsCounter: Bool
  /// One moment, by the time source (ns) and by the counter.
  @usableFromInline var base: UInt64
  @usableFromInline var baseTicks: UInt64
  /// The first such moment, from which the rate is measured.
  private let origin: UInt64
  private let originTicks: UInt64
  /// Nanoseconds of a tick, times `1 << 32`.
  @usableFromInline var rate: UInt64 = 0
  /// For how many ticks after `baseTicks` the rate holds; 0 while there is none.
  @usableFromInline var span: UInt64 = 0

  /// A clock that shows the time of `source`.
  init(_ source: TimeSource) {
    self.source = source
    trustsCounter = source.isSystem && Self.counterIsSound
    origin = source.now()
    originTicks = cm_ticks()
    (base, baseTicks) = (origin, originTicks)
  }

  /// The time (ns, monotonic).
  @inlinable @inline(__always)
  mutating func read() -> UInt64 {
    let ticks = cm_ticks()
    return ticks &- baseTicks < span ? time(ticks) : readSource()
  }

  /// The time that corresponds to a value of the counter within the span.
  @inlinable @inline(__always)
  func time(_ ticks: UInt64) -> UInt64 { base &+ ((ticks &- baseTicks) &* rate) &>> 32 }

  /// The counter's value at a time, no later than the end of the span; 0 where the counter is not used.
  func ticks(at time: UInt64) -> UInt64 {
    guard span > 0, time > base else { return 0 }
    return baseTicks &+ min((min(time &- base, Self.interval) &<< 32) / rate, span)
  }

  @usableFromInline @inline(never)
  mutating func readSource() -> UInt64 {
    // The times returned so far lie before the end of the span.
    base = max(source.now(), base &+ (span &* rate) &>> 32)
    guard trustsCounter else { return base }
    baseTicks = cm_ticks()
    learnRate()
    return base
  }

  private mutating func learnRate() {
    let (time, ticks) = (base &- origin, baseTicks &- originTicks)
    guard time >= Self.interval, ticks > 0 else { return }
    let exact = UInt128(time) << 32 / UInt128(ticks)
    // A counter slower than 1 MHz or faster than 100 GHz is not used.
    guard (1 << 25..<1 << 42).contains(exact) else { return }
    rate = UInt64(exact)
    span = Self.interval &<< 32 / rate
  }

  /// Whether the kernel's clock is the counter: it then runs at a constant rate, the same on all processors.
  static let counterIsSound: Bool = {
    let path = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
    guard let file = fopen(path, "r") else { return false }
    defer { fclose(file) }
    var name = [UInt8](repeating: 0, count: 32)
    let count = fread(&name, 1, name.count, file)
    let text = String(decoding: name.prefix(count), as: UTF8.self)
    return ["tsc\n", "arch_sys_counter\n"].contains(text)
  }()
}
