/// How long commands took from the doorbell to the poll that found them completed.
///
/// One completion of each poll is counted, the last: all of them while few commands are in flight, a sample
/// of them otherwise. Buckets are a quarter of a power of two wide.
public struct LatencyHistogram: Sendable, Equatable {
  /// How many buckets there are.
  static let bucketCount = 256

  /// How many commands were counted in each bucket; see `lowerBound`.
  public let buckets: [UInt64]

  /// A histogram of no commands.
  public init() { buckets = Array(repeating: 0, count: Self.bucketCount) }

  init(_ counts: UnsafeBufferPointer<UInt64>) { buckets = Array(counts) }

  /// How many commands were counted.
  public var count: UInt64 { buckets.reduce(0, &+) }

  /// The shortest latency of bucket `index` in nanoseconds.
  public static func lowerBound(_ index: Int) -> UInt64 {
    guard index >= 4 else { return UInt64(max(index, 0)) }
    return UInt64(4 | index & 3) << UInt64(min(index >> 2, 62) - 1)
  }

  /// The latency in nanoseconds below which a share of the commands stayed, as exactly as the buckets allow.
  /// - Parameter share: between 0 and 1: 0.99 for the 99th percentile.
  public func quantile(_ share: Double) -> UInt64 {
    let total = count
    guard total > 0 else { return 0 }
    var seen: UInt64 = 0
    for (index, commands) in buckets.enumerated() {
      seen += commands
      if Double(seen) >= share * Double(total) { return Self.lowerBound(index + 1) }
    }
    return .max
  }

  /// The bucket of a latency in nanoseconds.
  @inlinable @inline(__always)
  static func bucket(_ latency: UInt64) -> Int {
    // Half of it, with bit 0 set, is neither negative nor 0; the error matters only under 16 ns, where no
    // latency lies.
    let half = Int64(truncatingIfNeeded: latency &>> 1 | 1)
    // The exponent of a floating-point number and the first two bits of its fraction, as they lie side by
    // side.
    return Int(truncatingIfNeeded: Double(half).bitPattern &>> 50) &- 1023 << 2
  }
}

/// The counts behind a `LatencyHistogram`.
@usableFromInline
struct LatencyRecorder: ~Copyable {
  @usableFromInline let counts: UnsafeMutablePointer<UInt64>

  init() {
    counts = .allocate(capacity: LatencyHistogram.bucketCount)
    counts.initialize(repeating: 0, count: LatencyHistogram.bucketCount)
  }

  @inlinable
  deinit { counts.deallocate() }

  /// Counts a command that took `latency` nanoseconds.
  @inlinable @inline(__always)
  mutating func record(_ latency: UInt64) { counts[LatencyHistogram.bucket(latency)] &+= 1 }

  /// The counts so far.
  var histogram: LatencyHistogram {
    LatencyHistogram(UnsafeBufferPointer(start: counts, count: LatencyHistogram.bucketCount))
  }
}
