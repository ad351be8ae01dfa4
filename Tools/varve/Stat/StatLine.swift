import JSONValue

/// The counters of one moment.
struct StatSample {
  private let json: JSON

  /// The moment of the mount: all counters are 0.
  init() { json = .null }

  init(_ json: JSON) { self.json = json }

  /// Nanoseconds, monotonic; nil for the moment of the mount.
  var time: UInt64? { json["time_ns"]?.integer() }

  /// A counter of the event loop.
  func reactor(_ name: String) -> UInt64 { json["reactor"]?[name]?.integer() ?? 0 }

  /// A figure of the filesystem.
  func filesystem(_ name: String) -> UInt64 { json["filesystem"]?[name]?.integer() ?? 0 }

  /// How many commands of all I/O queue pairs fell into each bucket, by the bucket's upper end in nanoseconds.
  var latencies: [UInt64: UInt64] {
    var counts: [UInt64: UInt64] = [:]
    for queue in json["queues"]?.values ?? [] where queue["queue"]?.integer(Int.self) != 0 {
      for bucket in queue["latency"]?["buckets"]?.values ?? [] {
        counts[bucket["below_ns"]?.integer() ?? 0, default: 0] += bucket["count"]?.integer() ?? 0
      }
    }
    return counts
  }
}

/// What happened between two moments.
struct StatLine {
  private static let blockBytes = 4096.0

  private let seconds: Double?
  private let figures: [(name: String, value: Double)]

  init(from old: StatSample, to new: StatSample) {
    let elapsed = old.time.flatMap { old in new.time.map { Double($0 &- old) / 1e9 } }
    seconds = elapsed
    // Of the first line the time is not known: it shows totals.
    let scale = elapsed.map { $0 > 0 ? 1 / $0 : 0 } ?? 1
    func rate(_ name: String) -> Double { Double(new.reactor(name) &- old.reactor(name)) * scale }
    let latencies = new.latencies.merging(old.latencies) { $0 &- $1 }.filter { $0.value > 0 }
    figures = [
      ("requests", rate("requests")), ("reads", rate("reads")),
      ("read_mb", rate("read_blocks") * Self.blockBytes / 1e6), ("writes", rate("writes")),
      ("written_mb", rate("written_blocks") * Self.blockBytes / 1e6), ("flushes", rate("flushes")),
      ("p50_us", Self.quantile(0.5, of: latencies)), ("p99_us", Self.quantile(0.99, of: latencies)),
      ("errors", rate("failed_commands")),
      ("dirty_mb", Double(new.filesystem("dirty_data_bytes") + new.filesystem("dirty_node_bytes")) / 1e6),
    ]
  }

  /// The latency in microseconds that a share of the commands kept below; not a number where there was none.
  private static func quantile(_ share: Double, of counts: [UInt64: UInt64]) -> Double {
    var left = max((Double(counts.values.reduce(0, +)) * share).rounded(.up), 1)
    for (end, count) in counts.sorted(by: { $0.key < $1.key }) {
      left -= Double(count)
      if left <= 0 { return Double(end) / 1000 }
    }
    return .nan
  }

  private static let columns = [
    "req/s", "r/s", "rMB/s", "w/s", "wMB/s", "f/s", "p50 us", "p99 us", "err/s", "dirty MB",
  ]
  private static let width = 9

  static var heading: String { columns.map(padded).joined(separator: " ") }

  var text: String {
    figures.map { figure in
      let digits = ["requests", "reads", "writes", "flushes", "errors"].contains(figure.name) ? 0 : 1
      return Self.padded(figure.value.isNaN ? "-" : decimal(figure.value, digits: digits))
    }.joined(separator: " ")
  }

  private static func padded(_ text: String) -> String {
    String(repeating: " ", count: max(0, width - text.count)) + text
  }

  var json: JSON {
    .object([("seconds", seconds.map(JSON.real) ?? .null)] + figures.map { ($0.name, .real($0.value)) })
  }
}
