import NVMeSpec

/// A command that failed finally, with all that is known about it.
public struct CommandError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The queue pair it was submitted to; 0 is the admin queue pair.
  public let queue: UInt16
  /// The opcode.
  public let opcode: UInt8
  /// The namespace identifier; 0 where the command names none.
  public let namespace: UInt32
  /// The first logical block of a command that has one; the command's dwords 10 and 11 otherwise.
  public let lba: UInt64
  /// The completion's status field; success where the command never completed.
  public let status: Status
  /// How the command ended.
  public let end: CommandEnd

  /// The error of a command that has ended.
  init(queue: UInt16, command: SubmissionEntry, ended: FinishedCommand) {
    self.init(queue: queue, command: command, status: ended.status, end: ended.end)
  }

  init(queue: UInt16, command: SubmissionEntry, status: Status, end: CommandEnd) {
    self.queue = queue
    opcode = command.opcode
    namespace = command.namespace
    lba = command.startingBlock
    self.status = status
    self.end = end
  }

  /// The command and its end: `Read of LBA 8 of namespace 1: Unrecovered Read Error (2h/81h)`.
  public var description: String {
    let what =
      queue == 0
      ? AdminOpcode(rawValue: opcode).description
      : "\(IOOpcode(rawValue: opcode)) of LBA \(lba) of namespace \(namespace)"
    return end == .failed ? "\(what): \(status)" : "\(what): \(end)"
  }

  /// What Linux would return to a user of the block device.
  public var errno: Int32 {
    FinishedCommand(context: 0, result: 0, status: status, end: end).errno
  }
}

/// The last few failed commands, oldest first.
public struct CommandErrorLog: Sendable {
  /// How many are kept.
  public static let capacity = 16
  /// The errors, oldest first.
  public private(set) var entries: [CommandError] = []

  mutating func append(_ error: CommandError) {
    if entries.count == Self.capacity { entries.removeFirst() }
    entries.append(error)
  }
}
