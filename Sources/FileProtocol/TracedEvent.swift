/// An event of a filesystem, or of the reactor that drives it, as an `EventTrace` keeps it.
public struct TracedEvent: Sendable, Equatable {
  /// What happened. Which of the fields it fills in, apart from `time` and `actor`, is said of each.
  public enum Kind: UInt8, Sendable {
    /// A request has arrived, and waits for its user's turn.
    case held
    /// A request begins: `detail` is its `Operation`, `place` its FUSE node id, `offset` and `count` its range.
    case request
    /// A request has to wait: `detail` is the `WaitReason`.
    case wait
    /// A request that has waited runs again.
    case resume
    /// A command for the device: `detail` is its `BlockCommand.Operation`, `number` its number, `place` and
    /// `count` its blocks, `code` 1 for FUA.
    case command
    /// A command has ended: `number` is its number, `code` its errno.
    case completion
    /// A log write was formed; its command follows. `detail` is the head, `offset` its sequence number, `place`
    /// and `count` its blocks.
    case logWrite
    /// A checkpoint has entered a phase: `detail` is the phase, `offset` the checkpoint's number.
    case checkpoint
    /// The cleaner has chosen a segment: `place` is its first block, `count` its live blocks.
    case cleaning
    /// A step of background work has ended: `offset` is when it began.
    case step
    /// The service has answered a request: `code` is the errno.
    case finish
    /// The answer has been sent.
    case reply
  }

  /// The actor of an event that comes from the device alone.
  public static let noActor = UInt16.max

  /// Nanoseconds on the clock of the trace.
  public var time: UInt64 = 0
  public var place: UInt64 = 0
  public var offset: UInt64 = 0
  public var count: UInt32 = 0
  public var number: UInt32 = 0
  public var code: Int32 = 0
  /// The slot of the request that it belongs to; above the slots, the service's job; or `noActor`.
  public var actor = TracedEvent.noActor
  public var kind: Kind
  public var detail: UInt8

  public init(_ kind: Kind, detail: UInt8 = 0) {
    self.kind = kind
    self.detail = detail
  }
}
