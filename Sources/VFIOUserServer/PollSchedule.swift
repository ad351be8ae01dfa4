import CMachine

/// How a server divides its time between polling and sleeping.
///
/// A store to a doorbell in shared memory wakes no thread, so doorbells are polled: without a pause while
/// there is work, and after `spinTime` without work with pauses that grow with the time since, up to 2 ms. A
/// server without such doorbells, or whose controller is not enabled, sleeps until a descriptor wakes it.
struct PollSchedule {
  /// When the controller needs `service`, in monotonic ns.
  var due: UInt64 = .max
  /// Whether to check the sockets now although the server does not sleep.
  private(set) var looksAtSockets = false

  private let spins: Bool
  private let spinTime: UInt64
  private var lastWork: UInt64 = 0
  private var lastLook: UInt64 = 0
  private var turns: UInt32 = 0

  /// The clock is read once in this many turns without work.
  private static let turnsPerLook: UInt32 = 32
  /// The interval between checks of the sockets, in nanoseconds.
  private static let lookInterval: UInt64 = 50_000
  private static let shortestRest: UInt64 = 20_000
  private static let longestRest: UInt64 = 2_000_000
  /// A pause is the time since the last work divided by this.
  private static let restShare: UInt64 = 16

  init(_ options: ServerOptions) {
    spins = options.spins
    spinTime = options.spinTime
  }

  /// How long to sleep, in nanoseconds: 0 not at all, negative until woken.
  /// - Parameters:
  ///   - isBusy: whether there was work in this turn.
  ///   - isPolled: whether doorbells have to be polled.
  ///   - isAwaited: whether the controller waits for a due time or a worker thread.
  @inline(__always)
  mutating func sleepTime(after isBusy: Bool, isPolled: Bool, isAwaited: Bool) -> Int64 {
    turns &+= 1
    looksAtSockets = false
    if isBusy || isPolled {
      if isBusy { lastWork = 0 }
      guard turns % Self.turnsPerLook == 0 else {
        if !isBusy { cm_pause() }
        return 0
      }
    }
    return considerSleep(isBusy || spins && isPolled, isPolled, isAwaited)
  }

  @inline(never)
  private mutating func considerSleep(_ isBusy: Bool, _ isPolled: Bool, _ isAwaited: Bool) -> Int64 {
    let now = cm_monotonic_ns()
    // Work done in a turn that did not read the clock is dated now.
    if isBusy || lastWork == 0 { lastWork = now }
    let idle = now &- lastWork
    if isBusy || isPolled && idle < spinTime {
      looksAtSockets = now &- lastLook >= Self.lookInterval
      if looksAtSockets { lastLook = now }
      return 0
    }
    lastLook = now
    var rest = UInt64.max
    if isPolled { rest = min(max(idle / Self.restShare, Self.shortestRest), Self.longestRest) }
    if isAwaited, due != .max { rest = min(rest, due > now ? due - now : 0) }
    looksAtSockets = true
    return rest == .max ? -1 : Int64(clamping: rest)
  }
}
