import Control
import JSONValue

/// All that a daemon or a controller tells of what it did, for people.
struct StatReport {
  let json: JSON

  init(_ json: JSON) { self.json = json }

  var text: String {
    ([heading, recordedErrors, waits, controller, queues] + histograms + errors + [
      section("Kernel's cache", json["kernel_cache"]), section("Placement", json["placement"]),
      section("Event loop", json["reactor"]), section("Operations", json["operations"]),
      section("Filesystem", json["filesystem"]),
    ]).filter { !$0.isEmpty }.joined(separator: "\n\n")
  }

  private var heading: String {
    guard let serves = json["serves"].flatMap(ServedDevice.init) else { return "" }
    return "\(serves.device), namespace \(serves.namespace), mounted at \(serves.mountPoint) by process "
      + "\(serves.process)" + (json["version"]?.text.map { " (Varve \($0))" } ?? "")
  }

  /// What went wrong since the last check in full; nothing where all went well.
  private var recordedErrors: String {
    guard json["recorded_errors"]?["first"]?.text != nil else { return "" }
    return section("Errors since the last full check (fsck.varve -f)", json["recorded_errors"])
  }

  /// What requests wait for, and have waited for; nothing where none ever has.
  private var waits: String {
    let waits = (json["waits"]?.values ?? []).filter { wait in
      ["waiting", "waited"].contains { wait[$0]?.integer(UInt64.self) ?? 0 > 0 }
    }
    guard !waits.isEmpty else { return "" }
    var table = Table("Requests wait for", "Now", "Longest now us", "Waited", "Total us", "Longest us")
    for wait in waits {
      table.add(
        wait["reason"]?.text ?? "", cell(wait["waiting"]), microseconds(wait["waiting_ns"]),
        cell(wait["waited"]), microseconds(wait["total_ns"]), microseconds(wait["longest_ns"]))
    }
    return table.text
  }

  private var controller: String { section("Controller", json["controller"]) }

  private var queues: String {
    var table = Table(
      "Queue", "Depth", "Submitted", "Completed", "Errors", "Retries", "Requeues", "Timeouts", "SQ bells",
      "CQ bells", "p50 us", "p99 us", "p99.9 us")
    for queue in json["queues"]?.values ?? [] {
      let latency = queue["latency"]
      table.add(
        cell(queue["queue"]), cell(queue["depth"]), cell(queue["submitted"]), cell(queue["completed"]),
        cell(queue["errors"]), cell(queue["retries"]), cell(queue["requeues"]), cell(queue["timeouts"]),
        cell(queue["submission_doorbells"]), cell(queue["completion_doorbells"]),
        microseconds(latency?["p50_ns"]), microseconds(latency?["p99_ns"]), microseconds(latency?["p999_ns"]))
    }
    return table.text
  }

  /// A histogram for each I/O queue pair that has completed anything.
  private var histograms: [String] {
    (json["queues"]?.values ?? []).compactMap { queue in
      let buckets = queue["latency"]?["buckets"]?.values ?? []
      guard queue["queue"]?.integer(Int.self) != 0, !buckets.isEmpty else { return nil }
      return "Latencies of queue \(cell(queue["queue"])), us\n" + Self.bars(buckets)
    }
  }

  private static let barWidth = 40.0

  private static func bars(_ buckets: [JSON]) -> String {
    let counts = buckets.map { $0["count"]?.integer(UInt64.self) ?? 0 }
    let most = Double(max(counts.max() ?? 1, 1))
    var table = Table("From", "Below", "Count", "")
    for (bucket, count) in zip(buckets, counts) {
      let width = Int((Double(count) / most * barWidth).rounded(.up))
      table.add(
        StatReport.microseconds(bucket["from_ns"]), StatReport.microseconds(bucket["below_ns"]), "\(count)",
        String(repeating: "#", count: width))
    }
    return table.text
  }

  private var errors: [String] {
    (json["queues"]?.values ?? []).compactMap { queue in
      let errors = (queue["last_errors"]?.values ?? []).compactMap(\.text)
      return errors.isEmpty
        ? nil : "Last errors of queue \(cell(queue["queue"]))\n" + errors.joined(separator: "\n")
    }
  }

  private func section(_ title: String, _ value: JSON?) -> String {
    guard let members = value?.members, !members.isEmpty else { return "" }
    var fields = Fields()
    for (name, value) in members { fields.add(name, value) }
    return "\(title)\n\(fields.text)"
  }

  private func cell(_ value: JSON?) -> String { value?.integer(UInt64.self).map(String.init) ?? "" }

  private func microseconds(_ value: JSON?) -> String { Self.microseconds(value) }

  private static func microseconds(_ value: JSON?) -> String {
    value?.integer(UInt64.self).map { decimal(Double($0) / 1000, digits: 1) } ?? ""
  }
}
