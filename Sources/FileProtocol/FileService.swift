/// A filesystem as the reactor calls it: events in, effects out, no I/O and no clock of its own.
///
/// Every method runs to completion on the reactor's thread. `slots` requests can be in progress at once.
public protocol FileService: AnyObject {
  /// The request in each slot, filled by the reactor before `begin`.
  var requests: UnsafeMutablePointer<Request> { get }
  /// The reply of each slot, filled by the service before the slot is in `effects.finished`.
  var replies: UnsafeMutablePointer<Reply> { get }
  /// The effects since it was last emptied.
  var effects: Effects { get }
  /// The time of the event being handled; the reactor sets it before each call.
  var now: Instant { get set }

  /// The request in `requests[slot]` has arrived.
  func begin(slot: Int)
  /// The kernel dropped `count` lookups of a node.
  func forget(node: UInt64, count: UInt64)
  /// How many nodes the kernel knows: it has looked them up and not forgotten them.
  var knownNodes: Int { get }
  /// Finds nodes that the kernel may be asked to forget, those first that it has known longest.
  /// - Returns: how many were found. The next call goes on from there.
  func takeOldNodes(_ nodes: UnsafeMutableBufferPointer<UInt64>) -> Int
  /// A device command has ended, with 0 or an errno.
  func complete(tag: UInt64, errno: Int32)
  /// Time has passed; does one step (at most 200 us) of background work.
  /// - Returns: when to call again (ns, monotonic): a past time for at once, `UInt64.max` for not before
  ///   another event.
  func advance() -> UInt64
  /// Whether `advance` has urgent work, to be done at once though requests keep coming.
  var wantsAdvance: Bool { get }
  /// Begins the orderly end: everything is written and a checkpoint made. It continues in `complete` and
  /// `advance` until `isStopped`.
  func stop()
  /// Whether the orderly end is complete and nothing is in flight.
  var isStopped: Bool { get }
  /// Whether mount and recovery are done, so that requests may begin.
  var isReady: Bool { get }
  /// Why the service has failed (mount failed, or the device is lost); nil while it has not.
  var failure: String? { get }
}

extension FileService {
  public var wantsAdvance: Bool { false }
  public var knownNodes: Int { 0 }
  public func takeOldNodes(_ nodes: UnsafeMutableBufferPointer<UInt64>) -> Int { 0 }
}
