/// A command the filesystem wants the device to carry out. Blocks and frames are 4 KiB.
public struct DeviceCommand {
  public enum Operation: UInt8, Sendable {
    case read, write, flush, discard
  }

  public var operation: Operation
  /// For a write: durable when it completes.
  public var forceUnitAccess: Bool
  public var block: UInt64
  public var count: UInt32
  /// `count` arena frames, valid until `FileService.complete` for this tag has returned.
  public var frames: UnsafePointer<UInt32>?
  public var tag: UInt64

  public init(
    _ operation: Operation, block: UInt64 = 0, count: UInt32 = 0, frames: UnsafePointer<UInt32>? = nil,
    forceUnitAccess: Bool = false, tag: UInt64 = 0
  ) {
    self.operation = operation
    self.block = block
    self.count = count
    self.frames = frames
    self.forceUnitAccess = forceUnitAccess
    self.tag = tag
  }
}

/// What a filesystem wants done, in order. The reactor takes it all after each event and empties the lists,
/// keeping their room.
public struct Effects {
  /// For the device, in this order. A flush covers only writes that completed before it was emitted.
  public var commands: [DeviceCommand] = []
  /// Slots whose reply is ready in `replies[slot]`; the slot is the reactor's again once it was sent, unless the
  /// reply says that it is kept.
  public var finished: [UInt32] = []
  /// Slots whose memory was kept in use beyond their reply, and no longer is: they are the reactor's again.
  public var released: [UInt32] = []

  public init() {}
}

/// Time as an event's input.
public struct Instant: Sendable {
  /// Nanoseconds on a clock that never goes back; for deadlines.
  public var monotonic: UInt64
  /// Nanoseconds since 1970; for timestamps.
  public var realtime: Int64
  public init(monotonic: UInt64, realtime: Int64) {
    self.monotonic = monotonic
    self.realtime = realtime
  }
}

/// A filesystem as the reactor drives it: events in, effects out, no I/O and no clock of its own.
///
/// Every method runs to completion on the reactor's thread. `slots` requests can be under way at once.
public protocol FileService: AnyObject {
  /// The request in each slot, filled by the reactor before `begin`.
  var requests: UnsafeMutablePointer<Request> { get }
  /// The reply of each slot, filled by the service before the slot is in `effects.finished`.
  var replies: UnsafeMutablePointer<Reply> { get }
  /// What is to be done since it was last emptied.
  var effects: Effects { get set }
  /// The time of the event being handled; the reactor sets it before each call.
  var now: Instant { get set }

  /// The request in `requests[slot]` has arrived.
  func begin(slot: Int)
  /// The kernel dropped `count` lookups of a node.
  func forget(node: UInt64, count: UInt64)
  /// A device command has ended, with 0 or an errno.
  func complete(tag: UInt64, errno: Int32)
  /// Time has passed; does one step (at most 200 us) of background work.
  /// - Returns: when to call again (ns, monotonic): a time gone by for at once, `UInt64.max` for not before
  ///   another event.
  func advance() -> UInt64
  /// Whether `advance` has work that is best done at once, though requests keep coming.
  var wantsAdvance: Bool { get }
  /// Begins the orderly end: everything is written and a checkpoint made. Goes on through `complete` and
  /// `advance` until `isStopped`.
  func stop()
  /// Whether the end has been reached and nothing is in flight.
  var isStopped: Bool { get }
  /// Whether mount or recovery is over, so that requests may begin.
  var isReady: Bool { get }
  /// Why the service cannot go on (mount failed, or the device is lost), nil while it can.
  var failure: String? { get }
}

extension FileService {
  public var wantsAdvance: Bool { false }
}
