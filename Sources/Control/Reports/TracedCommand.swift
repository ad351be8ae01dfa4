import JSONValue
import NVMe
import NVMeSpec

/// A command of a trace in readable form: what it was, and the time of each step.
public struct TracedCommand: Sendable, Equatable {
  public var queue: UInt16
  public var identifier: UInt16
  /// The command's name in the specification.
  public var name: String
  public var namespace: UInt32
  /// The number of the block command that it carries out; 0 where it serves several, or none.
  public var number: UInt32 = 0
  /// The logical blocks of a command that has some; nil for others.
  public var blocks: (first: UInt64, count: UInt32)?
  /// `PRP` or `SGL` and the command's data pointer; empty for a command without data.
  public var data: String
  /// In nanoseconds, monotonic: put into the submission queue, doorbell store begun, doorbell store ended,
  /// completion found, completion collected.
  public var submitted: UInt64
  public var doorbell: UInt64
  public var doorbellEnd: UInt64
  /// 0 for a command that never completed because the controller was reset.
  public var completed: UInt64
  public var reaped: UInt64
  /// How it ended.
  public var status: String

  public static func == (left: TracedCommand, right: TracedCommand) -> Bool {
    left.json.line == right.json.line
  }
}

extension TracedCommand {
  public init(_ trace: CommandTrace) {
    let command = trace.command
    queue = trace.queue
    identifier = command.commandIdentifier
    namespace = command.namespace
    number = UInt32(truncatingIfNeeded: trace.context)
    if queue == 0 {
      name = "\(AdminOpcode(rawValue: command.opcode))"
    } else {
      let opcode = IOOpcode(rawValue: command.opcode)
      name = "\(opcode)"
      if [.read, .write, .compare, .verify, .writeZeroes, .writeUncorrectable].contains(opcode) {
        blocks = (command.startingBlock, command.blockCount)
      }
    }
    data = Self.data(of: command)
    submitted = trace.submitted
    doorbell = trace.doorbell
    doorbellEnd = trace.doorbellEnd
    completed = trace.completed
    reaped = trace.reaped
    status = trace.isComplete ? "\(trace.status)" : "no completion"
  }

  /// The data pointer: PRP1 and PRP2 as they are, or the SGL's first descriptor.
  private static func data(of command: SubmissionEntry) -> String {
    // Bits 1:0 of an opcode tell whether data is transferred.
    guard command.opcode & 3 != 0 else { return "" }
    let (first, second) = (hexadecimal(command.prp1), hexadecimal(command.prp2))
    guard command.dataPointer == .prp else {
      return "SGL \(first) + \(UInt32(truncatingIfNeeded: command.prp2))"
    }
    return command.prp2 == 0 ? "PRP \(first)" : "PRP \(first) \(second)"
  }

  private static func hexadecimal(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }

  public var json: JSON {
    .object([
      ("queue", .integer(queue)), ("cid", .integer(identifier)), ("command", .text(name)),
      ("nsid", .integer(namespace)), ("number", .integer(number)),
      ("lba", blocks.map { .integer($0.first) } ?? .null),
      ("blocks", blocks.map { .integer($0.count) } ?? .null), ("data", .text(data)),
      ("submitted_ns", .integer(submitted)), ("doorbell_ns", .integer(doorbell)),
      ("doorbell_end_ns", .integer(doorbellEnd)), ("completed_ns", .integer(completed)),
      ("reaped_ns", .integer(reaped)), ("status", .text(status)),
    ])
  }

  /// Parses the form of `json`; nil when it is malformed.
  public init?(_ json: JSON) {
    guard let queue = json["queue"]?.integer(UInt16.self), let identifier = json["cid"]?.integer(UInt16.self),
      let name = json["command"]?.text, let namespace = json["nsid"]?.integer(UInt32.self),
      let data = json["data"]?.text, let submitted = json["submitted_ns"]?.integer(UInt64.self),
      let doorbell = json["doorbell_ns"]?.integer(UInt64.self),
      let doorbellEnd = json["doorbell_end_ns"]?.integer(UInt64.self),
      let completed = json["completed_ns"]?.integer(UInt64.self),
      let reaped = json["reaped_ns"]?.integer(UInt64.self), let status = json["status"]?.text
    else { return nil }
    self.init(
      queue: queue, identifier: identifier, name: name, namespace: namespace,
      number: json["number"]?.integer() ?? 0, blocks: nil, data: data, submitted: submitted,
      doorbell: doorbell,
      doorbellEnd: doorbellEnd, completed: completed,
      reaped: reaped, status: status)
    if let first = json["lba"]?.integer(UInt64.self), let count = json["blocks"]?.integer(UInt32.self) {
      blocks = (first, count)
    }
  }
}
