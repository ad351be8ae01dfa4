import CMachine

/// A thread's event loop: it runs its reactors' turns, and sleeps when none of them has work.
///
/// One thread owns it and everything it calls. It blocks only in `EpollSet`.
public final class EventLoop {
  private var epoll: EpollSet
  private var handlers: [Int32: () -> Void] = [:]
  // Exempt from exclusivity checks, as it is read in every round; no access lasts longer than an expression.
  @exclusivity(unchecked)
  private var reactors: [Reactor] = []
  /// When descriptors were last polled (ns, monotonic).
  @exclusivity(unchecked)
  private var lastDescriptorPoll: UInt64 = 0

  /// Has the thread follow its callers, where that pays.
  @exclusivity(unchecked)
  public var follower: Follower?

  /// Under load descriptors are polled this often (ns).
  private static let descriptorInterval: UInt64 = 10_000_000

  /// - Throws: `ReactorError` when the system has no descriptor left.
  public init() throws(ReactorError) { epoll = try EpollSet() }

  /// Calls `handler` on the loop's thread while `descriptor` is readable; it must read it empty.
  ///
  /// For what happens rarely: signals, a control socket.
  public func watch(_ descriptor: Int32, _ handler: @escaping () -> Void) {
    handlers[descriptor] = handler
    epoll.addLevel(descriptor)
  }

  /// Ends a `watch`; to be called before the descriptor is closed.
  public func unwatch(_ descriptor: Int32) {
    guard handlers.removeValue(forKey: descriptor) != nil else { return }
    epoll.remove(descriptor)
  }

  /// Runs reactors and calls handlers as long as `isWanted` returns true.
  public func run(while isWanted: () -> Bool) {
    while isWanted() {
      if let time = turn() { pollDescriptors(at: time) } else { sleepOrPoll() }
    }
  }

  // MARK: For reactors

  /// Runs a reactor's turns from now on.
  func add(_ reactor: Reactor) { reactors.append(reactor) }

  /// Stops running a reactor's turns.
  func remove(_ reactor: Reactor) { reactors.removeAll { $0 === reactor } }

  /// Wakes the loop at the edges of a descriptor; several reactors may add the same one.
  func addEdge(_ descriptor: Int32) { epoll.addEdge(descriptor) }

  /// Undoes one `addEdge`; to be called before the descriptor is closed.
  func removeEdge(_ descriptor: Int32) { epoll.remove(descriptor) }

  // MARK: A round

  /// Runs one turn of every reactor.
  /// - Returns: the time of a reactor that had work; nil when none had.
  private func turn() -> UInt64? {
    var time: UInt64?
    // A reactor's turn can remove it from the list and add another.
    var index = 0
    while index < reactors.count {
      let reactor = reactors[index]
      if reactor.turn() { time = reactor.lastTime }
      if index < reactors.count, reactors[index] === reactor { index += 1 }
    }
    // A reactor must not postpone its work in favour of polling while others keep the loop from sleeping.
    if time != nil, reactors.count > 1 { for reactor in reactors { reactor.isSpinning = false } }
    return time
  }

  /// Sleeps until an event or a deadline, or keeps polling while a reactor expects an event soon.
  private func sleepOrPoll() {
    let now = cm_monotonic_ns()
    if !sharesProcessor() {
      var polls = false
      for index in reactors.indices where reactors[index].pollsOn(at: now) { polls = true }
      if polls { return cm_pause() }
    }
    var deadline = UInt64.max
    for index in reactors.indices { deadline = min(deadline, reactors[index].prepareToSleep(at: now)) }
    guard deadline > now else { return }
    handleEvents(timeout: deadline == .max ? -1 : Int64(clamping: deadline - now))
  }

  /// Whether the only caller there is needs this processor to send the next request.
  private func sharesProcessor() -> Bool {
    guard follower != nil else { return false }
    followCallers()
    guard follower?.isFollowing == true else { return false }
    for index in reactors.indices where reactors[index].callers.unanswered > 0 { return false }
    for index in reactors.indices { reactors[index].isSpinning = false }
    return true
  }

  /// Has the follower take note of the requests since the last time.
  private func followCallers() {
    var lone = 0
    var crowded = 0
    var process: UInt32 = 0
    for index in reactors.indices {
      let callers = reactors[index].callers
      guard callers.lone + callers.crowded > 0 else { continue }
      // Callers of two mounts are two callers.
      crowded += callers.crowded + (lone > 0 ? callers.lone : 0)
      lone = lone > 0 ? lone : callers.lone
      process = callers.process
      reactors[index].callers.take()
    }
    if lone + crowded > 0 { follower?.note(lone: lone, crowded: crowded, from: process) }
  }

  /// Polls the watched descriptors while load leaves no time to sleep, so that signals and the control socket
  /// are handled under any load. Edges of channels and devices that are reported here are not reported again,
  /// but each channel and device is polled once more before sleeping.
  private func pollDescriptors(at now: UInt64) {
    guard now &- lastDescriptorPoll >= Self.descriptorInterval else { return }
    handleEvents(timeout: 0)
    lastDescriptorPoll = now
    if follower != nil { followCallers() }
  }

  private func handleEvents(timeout: Int64) {
    let count = epoll.wait(timeout: timeout)
    for index in 0..<count { handlers[epoll.descriptor(index)]?() }
  }
}
