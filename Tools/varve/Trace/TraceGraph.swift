import Control
import Glibc

/// A trace as ftrace's function_graph shows calls: each request with what it did inside, each command with its
/// stages, and how long each took.
struct TraceGraph {
  /// The moment that times are counted from; nil before the first.
  private var start: UInt64?

  static let heading = """
    # queue  CID        TIME        DURATION     CALL
    #   |     |           us            |   |    |
    """

  // MARK: Activities

  /// The lines of a request, or of work of a job or the device.
  mutating func lines(for activity: Timeline.Activity) -> [String] {
    guard let first = activity.events.first else { return [] }
    start = start ?? first.time
    let column = Self.padded("\(activity.actor)", 12)
    var lines = [line(column, first.time, nil, "\(Self.title(activity)) {")]
    for (index, event) in activity.events.enumerated() {
      if event.name == "command" {
        lines += self.lines(of: event, in: activity, column)
      } else if let (text, duration) = Self.leaf(event, activity.events[(index + 1)...]) {
        lines.append(line(column, event.time, duration, "  \(text);"))
      }
    }
    return lines + [closing(activity, column, since: first.time)]
  }

  /// `fsync(node 2)` of a request, the name of a job.
  private static func title(_ activity: Timeline.Activity) -> String {
    guard case .request = activity.actor else { return "\(activity.actor)()" }
    guard let request = activity.events.first(where: { $0.name == "request" }) else { return "request()" }
    return "\(request["operation"]?.text ?? "request")(\(request.arguments(without: ["operation"])))"
  }

  /// The text and the duration of an event that is one line; nil for one that only ends another.
  private static func leaf(
    _ event: ReportedEvent, _ later: ArraySlice<ReportedEvent>
  ) -> (String, UInt64?)? {
    func until(_ name: String) -> UInt64? { later.first { $0.name == name }.map { $0.time &- event.time } }
    switch event.name {
    case "request", "resume", "reply": return nil
    case "held": return ("wait_for_turn()", until("request"))
    case "wait": return ("wait(\(event["reason"]?.text ?? ""))", until("resume"))
    case "finish": return ("reply()", until("reply"))
    case "step":
      let began = event["began_ns"]?.integer(UInt64.self)
      return ("step()", began.map { event.time &- $0 })
    default: return ("\(event.name)(\(event.arguments()))", nil)
    }
  }

  private func closing(
    _ activity: Timeline.Activity, _ column: String, since start: UInt64
  ) -> String {
    let last = activity.events.map(\.time) + activity.ends.values.map(\.time)
    let end = last.max() ?? start
    guard case .request = activity.actor else { return line(column, end, end &- start, "}") }
    guard let answer = activity.events.last(where: { $0.name == "finish" }) else {
      return line(column, end, nil, "} /* not answered */")
    }
    let errno = answer["errno"]?.integer(Int32.self) ?? 0
    let replied = activity.events.last { $0.name == "reply" }?.time ?? answer.time
    return line(column, replied, replied &- start, "} /* \(Self.meaning(of: errno)) */")
  }

  /// A block command with the NVMe commands that carried it out.
  private mutating func lines(
    of event: ReportedEvent, in activity: Timeline.Activity, _ column: String
  ) -> [String] {
    let number = event["number"]?.integer(UInt64.self) ?? 0
    let name = event["operation"]?.text ?? "command"
    var lines = [line(column, event.time, nil, "  \(name)(\(event.arguments(without: ["operation"]))) {")]
    for command in activity.commands[number] ?? [] { lines += self.lines(for: command, indent: "    ") }
    guard let end = activity.ends[number] else {
      return lines + [line(column, event.time, nil, "  } /* not ended */")]
    }
    let errno = end["errno"]?.integer(Int32.self) ?? 0
    return lines + [
      line(column, end.time, end.time &- event.time, "  } /* \(Self.meaning(of: errno)) */")
    ]
  }

  private static func meaning(of errno: Int32) -> String {
    errno == 0 ? "success" : String(cString: strerror(errno))
  }

  // MARK: Commands

  /// An NVMe command's lines.
  mutating func lines(for command: TracedCommand, indent: String = "") -> [String] {
    let column = Self.padded("\(command.queue)", 4) + ")" + Self.padded("\(command.identifier)", 7)
    func line(_ time: UInt64, _ duration: UInt64?, _ text: String) -> String {
      self.line(column, time, duration, indent + text)
    }
    start = start ?? command.submitted
    var lines = [
      line(command.submitted, nil, "\(Self.call(command)) {"),
      line(command.submitted, command.doorbell &- command.submitted, "  submit();"),
      line(command.doorbell, command.doorbellEnd &- command.doorbell, "  doorbell();"),
    ]
    guard command.reaped != 0 else {
      return lines + [line(command.doorbellEnd, nil, "} /* \(command.status) */")]
    }
    lines.append(line(command.doorbellEnd, command.completed &- command.doorbellEnd, "  controller();"))
    lines.append(line(command.completed, command.reaped &- command.completed, "  reap();"))
    lines.append(line(command.reaped, command.reaped &- command.submitted, "} /* \(command.status) */"))
    return lines
  }

  /// `write(nsid 1, lba 2048 + 8, PRP 0x1000)`.
  private static func call(_ command: TracedCommand) -> String {
    let words = command.name.split(whereSeparator: { " -/".contains($0) })
    var arguments = ["nsid \(command.namespace)"]
    if let blocks = command.blocks { arguments.append("lba \(blocks.first) + \(blocks.count)") }
    if !command.data.isEmpty { arguments.append(command.data) }
    return "\(words.joined(separator: "_").lowercased())(\(arguments.joined(separator: ", ")))"
  }

  // MARK: Lines

  /// A line: who, when, for how long, what.
  private func line(_ column: String, _ time: UInt64, _ duration: UInt64?, _ text: String) -> String {
    let elapsed = Double(Int64(bitPattern: time &- (start ?? time))) / 1000
    return
      "\(column) \(Self.padded(decimal(elapsed, digits: 3), 13)) | \(Self.duration(duration)) |  \(text)"
  }

  /// A duration with function_graph's mark in front of long ones; blanks for none.
  private static func duration(_ nanoseconds: UInt64?) -> String {
    guard let nanoseconds else { return String(repeating: " ", count: 16) }
    let marks: [(UInt64, String)] = [
      (1_000_000_000, "$"), (100_000_000, "@"), (10_000_000, "*"), (1_000_000, "#"), (100_000, "!"),
      (10_000, "+"),
    ]
    let mark = marks.first { nanoseconds > $0.0 }?.1 ?? " "
    return "\(mark) \(padded(decimal(Double(nanoseconds) / 1000, digits: 3), 11)) us"
  }

  private static func padded(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(0, width - text.count)) + text
  }
}
