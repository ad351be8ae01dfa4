import Block
import JSONValue

/// The figures of a measurement.
struct BenchResult {
  private let device: String
  private let plan: BenchPlan
  private let commands: UInt64
  private let seconds: Double
  /// The processor time of the measuring thread, in percent of the time.
  private let processor: Double
  /// In microseconds.
  private let latencies: [(name: String, value: Double)]

  init(_ loop: borrowing BenchLoop, of plan: BenchPlan, on device: String) {
    self.device = device
    self.plan = plan
    commands = loop.latencies.count
    seconds = max(Double(loop.elapsed), 1) / 1e9
    processor = Double(loop.processorTime) / max(Double(loop.elapsed), 1) * 100
    latencies = [
      ("mean", loop.latencies.mean), ("min", Double(loop.latencies.minimum)),
      ("p50", loop.latencies.quantile(0.5)), ("p99", loop.latencies.quantile(0.99)),
      ("p999", loop.latencies.quantile(0.999)), ("max", Double(loop.latencies.maximum)),
    ].map { ($0.0, $0.1 / 1000) }
  }

  private var iops: Double { Double(commands) / seconds }
  private var bytesPerSecond: Double { iops * Double(plan.commandBytes) }

  var json: JSON {
    .object([
      ("device", .text(device)), ("operation", .text("\(plan.operation)")),
      ("pattern", .text(plan.pattern.rawValue)), ("block", .integer(plan.commandBytes)),
      ("depth", .integer(plan.depth)),
      ("size", .integer(plan.range * UInt64(SynchronousDevice.blockSize))), ("seconds", .real(seconds)),
      ("processor_percent", .real(processor)),
      ("commands", .integer(commands)), ("iops", .real(iops)), ("bytes_per_second", .real(bytesPerSecond)),
      ("latency_us", .object(latencies.map { ($0.name, .real($0.value)) })),
    ])
  }

  var text: String {
    let figures = latencies.map { "\($0.name) \(decimal($0.value, digits: 1))" }.joined(separator: "  ")
    return """
      \(device): \(plan.pattern) \(plan.operation) of \(plan.commandBytes) bytes, depth \(plan.depth), \
      \(decimal(seconds, digits: 1)) s
      \(decimal(iops, digits: 0)) IOPS  \(decimal(bytesPerSecond / 1e6, digits: 1)) MB/s
      latency in us: \(figures)
      """
  }
}
