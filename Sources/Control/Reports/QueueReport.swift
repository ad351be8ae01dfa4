import Block
import JSONValue
import NVMe

/// The counters of a queue pair, for the control socket and `varve stat`.
public struct QueueReport {
  /// The queue identifier; 0 is the admin queue pair.
  public let identifier: UInt16
  /// Commands that can be in flight at once.
  public let depth: Int
  public let counters: QueueCounters
  public let latency: LatencyHistogram
  /// The last failed commands, oldest first.
  public let errors: [CommandError]

  public init(
    identifier: UInt16, depth: Int, counters: QueueCounters, latency: LatencyHistogram, errors: [CommandError]
  ) {
    self.identifier = identifier
    self.depth = depth
    self.counters = counters
    self.latency = latency
    self.errors = errors
  }

  public var json: JSON {
    .object(
      [("queue", .integer(identifier)), ("depth", .integer(depth))] + Counts.members(of: counters) + [
        ("latency", latencyJSON), ("last_errors", .array(errors.map { .text("\($0)") })),
      ])
  }

  /// Quantiles, and the non-empty buckets: their lowest latency, and the number of commands.
  private var latencyJSON: JSON {
    let shares = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)]
    let buckets = latency.buckets.enumerated().filter { $0.element > 0 }.map { index, count in
      JSON.object([
        ("from_ns", .integer(LatencyHistogram.lowerBound(index))),
        ("below_ns", .integer(LatencyHistogram.lowerBound(index + 1))), ("count", .integer(count)),
      ])
    }
    return .object(
      [("count", .integer(latency.count))]
        + shares.map { ("\($0.0)_ns", latency.count == 0 ? .null : .integer(latency.quantile($0.1))) }
        + [("buckets", .array(buckets))])
  }
}

extension QueueReport {
  /// The queue pair of a namespace in use.
  public init(of device: NamespaceDevice) {
    self.init(
      identifier: device.queueIdentifier, depth: device.queueDepth, counters: device.counters,
      latency: device.latency, errors: device.errors)
  }

  /// The admin queue pair of a controller.
  public init(adminOf controller: Controller) {
    self.init(
      identifier: 0, depth: controller.adminDepth, counters: controller.adminCounters,
      latency: controller.adminLatency, errors: controller.adminErrors)
  }
}

extension Controller {
  /// The controller's part of `varve stat`.
  public var report: JSON {
    .object([
      ("state", .text("\(state)")), ("resets", .integer(Int(clamping: counters.resets))),
      ("events", .integer(events.count)),
      ("model", .text(identity.modelNumber)), ("serial", .text(identity.serialNumber)),
      ("critical_warning", .text(warnings.isEmpty ? "none" : warnings.joined(separator: "; "))),
    ])
  }
}
