/// How long commands took, in buckets no wider than a 64th of their lower bound.
///
/// Recording costs a few instructions and no memory, however many commands there are.
struct LatencyDistribution: ~Copyable {
  /// Below `1 << precision` nanoseconds each value has a bucket; above, each power of two has that many.
  private static let precision = 6
  private static let bucketCount = (64 - precision + 1) << precision

  private let counts: UnsafeMutablePointer<UInt64>
  /// How many commands were recorded.
  private(set) var count: UInt64 = 0
  private var sum: UInt64 = 0
  /// The shortest and the longest latency in nanoseconds.
  private(set) var minimum = UInt64.max
  private(set) var maximum: UInt64 = 0

  init() {
    counts = .allocate(capacity: Self.bucketCount)
    counts.initialize(repeating: 0, count: Self.bucketCount)
  }

  deinit { counts.deallocate() }

  /// Records a command that took so many nanoseconds.
  @inline(__always)
  mutating func record(_ latency: UInt64) {
    counts[Self.bucket(of: latency)] &+= 1
    count &+= 1
    sum &+= latency
    if latency < minimum { minimum = latency }
    if latency > maximum { maximum = latency }
  }

  /// The mean in nanoseconds.
  var mean: Double { count == 0 ? .nan : Double(sum) / Double(count) }

  /// The latency in nanoseconds that a share of the commands, 0...1, did not exceed: the middle of its bucket.
  func quantile(_ share: Double) -> Double {
    var left = max(Double(count) * share, 1)
    for bucket in 0..<Self.bucketCount where counts[bucket] > 0 {
      left -= Double(counts[bucket])
      if left <= 0 {
        return min(max(Self.middle(of: bucket), Double(minimum)), Double(maximum))
      }
    }
    return .nan
  }

  @inline(__always)
  private static func bucket(of latency: UInt64) -> Int {
    guard latency >= 1 << precision else { return Int(truncatingIfNeeded: latency) }
    let shift = 63 &- precision &- latency.leadingZeroBitCount
    // The bit above the lowest `precision` ones is always set here, and so counts the power of two itself.
    return shift << precision &+ Int(truncatingIfNeeded: latency >> UInt64(truncatingIfNeeded: shift))
  }

  private static func middle(of bucket: Int) -> Double {
    let shift = max((bucket >> precision) - 1, 0)
    guard shift > 0 else { return Double(bucket) }
    let mantissa = bucket - shift << precision
    return (Double(mantissa) + 0.5) * Double(sign: .plus, exponent: shift, significand: 1)
  }
}
