import Control

/// A trace as ftrace's function_graph shows calls: each command with its stages inside, and how long each took.
struct TraceGraph {
  /// The submission that times are counted from; nil before the first.
  private var start: UInt64?

  static let heading = """
    # queue  CID        TIME        DURATION     COMMAND
    #   |     |           us            |   |    |
    """

  /// A command's lines.
  mutating func lines(for command: TracedCommand) -> [String] {
    let start = start ?? command.submitted
    self.start = start
    func line(_ time: UInt64, _ duration: UInt64?, _ text: String) -> String {
      let queue = Self.padded("\(command.queue)", 4) + ")" + Self.padded("\(command.identifier)", 7)
      let clock = Self.padded(Self.microseconds(time &- start), 13)
      return "\(queue) \(clock) | \(Self.duration(duration)) |  \(text)"
    }
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

  /// A duration with function_graph's mark in front of long ones; blanks for none.
  private static func duration(_ nanoseconds: UInt64?) -> String {
    guard let nanoseconds else { return String(repeating: " ", count: 16) }
    let marks: [(UInt64, String)] = [
      (1_000_000_000, "$"), (100_000_000, "@"), (10_000_000, "*"), (1_000_000, "#"), (100_000, "!"),
      (10_000, "+"),
    ]
    let mark = marks.first { nanoseconds > $0.0 }?.1 ?? " "
    return "\(mark) \(padded(microseconds(nanoseconds), 11)) us"
  }

  private static func microseconds(_ nanoseconds: UInt64) -> String {
    decimal(Double(nanoseconds) / 1000, digits: 3)
  }

  private static func padded(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(0, width - text.count)) + text
  }
}
