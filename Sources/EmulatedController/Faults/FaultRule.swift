import NVMeSpec

/// A fault to inject: when, and what.
///
/// Rules are tried in order and the first that matches acts. Without rules there is no cost.
public struct FaultRule: Sendable {
  /// When a rule acts.
  public enum Trigger: Sendable {
    /// On a command as it is fetched.
    case command(CommandMatch)
    /// On CC.EN going to 1.
    case enable
    /// On CC.EN going to 0.
    case disable
    /// On a shutdown notification in CC.SHN.
    case shutdown
    /// On a function-level reset.
    case functionReset
  }

  public var trigger: Trigger
  public var action: FaultAction
  /// How many matches are skipped before the rule acts: 2 makes it act on the third.
  public var skipping: Int
  /// How often it acts; nil for always.
  public var limit: Int?

  public init(_ trigger: Trigger, _ action: FaultAction, skipping: Int = 0, limit: Int? = nil) {
    self.trigger = trigger
    self.action = action
    self.skipping = skipping
    self.limit = limit
  }

  /// A rule for I/O commands.
  public init(
    io opcode: IOOpcode?, blocks: Range<UInt64>? = nil, _ action: FaultAction, skipping: Int = 0,
    limit: Int? = nil
  ) {
    let match = CommandMatch(queue: .io, opcode: opcode?.rawValue, blocks: blocks)
    self.init(.command(match), action, skipping: skipping, limit: limit)
  }

  /// A rule for admin commands.
  public init(admin opcode: AdminOpcode?, _ action: FaultAction, skipping: Int = 0, limit: Int? = nil) {
    let match = CommandMatch(queue: .admin, opcode: opcode?.rawValue)
    self.init(.command(match), action, skipping: skipping, limit: limit)
  }
}

/// Which commands a rule is for.
public struct CommandMatch: Sendable {
  /// The kind of queue.
  public enum Queue: Sendable {
    case admin, io, any
  }

  public var queue: Queue
  /// The opcode; nil for all.
  public var opcode: UInt8?
  /// The namespace; nil for all.
  public var namespace: UInt32?
  /// Logical blocks, one of which the command must touch; nil for all commands.
  public var blocks: Range<UInt64>?

  public init(
    queue: Queue = .any, opcode: UInt8? = nil, namespace: UInt32? = nil, blocks: Range<UInt64>? = nil
  ) {
    self.queue = queue
    self.opcode = opcode
    self.namespace = namespace
    self.blocks = blocks
  }
}

/// What a fault rule does.
public enum FaultAction: Sendable, Equatable {
  /// No fault.
  case none
  /// The command is not carried out and completes with this status.
  case status(Status)
  /// The command is carried out this much later, in nanoseconds.
  case delay(UInt64)
  /// The command is carried out and never completes.
  case loseCompletion
  /// The command is carried out and completes twice.
  case duplicateCompletion
  /// The command is carried out and completes this much later, in nanoseconds.
  case completeLate(UInt64)
  /// The command is carried out and completes with this command identifier.
  case completeAs(identifier: UInt16)
  /// A completion with this command identifier precedes the command's own.
  case addCompletion(identifier: UInt16)
  /// The command is carried out and completes with this submission queue head (SQHD).
  case completeWithHead(UInt16)
  /// The command is carried out and its completion entry has the phase tag of the previous pass.
  case invertPhase
  /// The controller's access to the command's data is refused.
  case refuseDMA
  /// One bit of the command's data flips between the host's memory and the controller; only where protection
  /// information detects it.
  case flipBit
  /// CSTS.CFS is set and the controller does nothing more until it is reset.
  case fatal
  /// The function is removed: registers read as all ones and nothing is carried out.
  case remove
  /// The link is down for so many nanoseconds: registers read as all ones, and stores are lost. Then the
  /// controller is as before, or, with `resets`, as after a reset of the link.
  case dropLink(UInt64, resets: Bool)
  /// The controller resets itself: registers are as after power-on, outstanding commands are dropped. Media
  /// and the volatile cache stay.
  case resetItself
  /// A power cut: as `resetItself`, and with a recording the media lose everything that was not flushed.
  case losePower
  /// The controller is replaced by another with this serial number and the same namespaces.
  case replace(serialNumber: String)
  /// CSTS does not follow CC: RDY or SHST does not change. A function-level reset fails.
  case stuck
}
