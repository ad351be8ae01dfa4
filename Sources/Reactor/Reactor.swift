import BlockProtocol
import CMachine
import FileProtocol

/// Joins a channel of requests, a filesystem and a device.
///
/// The thread of its event loop owns it, and with it the service, the channel and the device. It never
/// blocks, and allocates nothing for a request: see the module's article for the order of its steps.
///
/// State that every turn accesses is exempt from the language's exclusivity checks: no access to it lasts
/// longer than an expression.
public final class Reactor {
  /// The filesystem.
  public let service: any FileService
  /// The layout of the slots.
  public let slots: SlotLayout
  /// The event loop that runs it.
  public let loop: EventLoop
  /// The counts so far.
  public internal(set) var counters = ReactorCounters()
  /// How long to poll at most before sleeping, in nanoseconds; see `AdaptivePolling`.
  public var spin = AdaptivePolling.usualLimit
  /// Called after each `advance`, for example to log the service's messages.
  public var afterAdvance: () -> Void = {}
  /// Called once when a service that has started has written everything, or has failed.
  public var whenEnded: (Ending) -> Void = { _ in }

  let device: (any BlockDevice)?
  /// The device's descriptors that wake the loop.
  private let deviceDescriptors: [Int32]
  /// Whether the service's time is that of the kernel's last tick, up to 4 ms ago, which the kernel stamps files
  /// with: where both set times, a later change must not get an earlier one.
  @exclusivity(unchecked)
  public var usesKernelTime = false
  var pool: SlotPool
  var turns: UserTurns
  var backlog = CommandBacklog()
  /// The service's new effects, and those being carried out: their lists are swapped.
  let asked: Effects
  let effects = Effects()
  var completions: [BlockCompletion] = []
  /// Commands that the device has accepted and not completed.
  @exclusivity(unchecked)
  var inFlight = 0
  /// When a read was submitted to the idle device (ns); 0 when the device has other commands too, or none.
  @exclusivity(unchecked)
  var loneRead: UInt64 = 0
  /// Whether `prepareToSleep` reported waiting completions.
  @exclusivity(unchecked)
  var completionsWait = false
  /// Commands failed here, because there is no device, and not yet reported to the service.
  var refused: [UInt64] = []

  /// When the reactor last read the clock (ns, monotonic).
  @exclusivity(unchecked)
  var lastTime: UInt64 = 0
  /// When `advance` is due, and when it was last called.
  @exclusivity(unchecked)
  var advanceDue: UInt64 = 0
  @exclusivity(unchecked)
  var lastAdvance: UInt64 = 0
  /// Whether the service had events since `advance`.
  @exclusivity(unchecked)
  var eventsSinceAdvance = true
  /// Whether to keep polling where there is nothing to do.
  @exclusivity(unchecked)
  var polling = AdaptivePolling()
  /// Whether the reactor has only polled since it last set the service's time.
  @exclusivity(unchecked)
  var isSpinning = false
  /// Whether the last message could not be received because every slot was in use.
  @exclusivity(unchecked)
  var lacksSlots = false
  /// Those who send its requests.
  @exclusivity(unchecked)
  var callers = Callers()
  /// How many messages are received at once.
  @exclusivity(unchecked)
  var batch = 1

  /// The reactor's phase.
  private enum Phase { case waiting, starting, ready, serving, finishing, ended }
  @exclusivity(unchecked)
  private var phase = Phase.waiting
  @exclusivity(unchecked)
  private var channel: (any RequestChannel)?
  @exclusivity(unchecked)
  private var stopRequested = false
  private var whenStarted: (ReactorError?) -> Void = { _ in }
  /// How serving has ended, or will end.
  private var ending = Ending.stopped

  /// Joins a service to a device.
  /// - Parameters:
  ///   - device: nil for a service that gives no commands.
  ///   - loop: the event loop that runs the reactor; a new one by default.
  /// - Throws: `ReactorError` when the process may open no more descriptors.
  public init(
    service: any FileService, device: (any BlockDevice)?, slots: SlotLayout, loop: EventLoop? = nil
  ) throws(ReactorError) {
    self.service = service
    asked = service.effects
    self.device = device
    self.slots = slots
    self.loop = if let loop { loop } else { try EventLoop() }
    deviceDescriptors = [device?.interruptDescriptor, device?.eventDescriptor].compactMap(\.self)
    pool = SlotPool(count: slots.count)
    turns = UserTurns(slots: slots.count)
    completions.reserveCapacity(Self.completionBatch)
    slots.describe(to: service)
  }

  /// Asks for the orderly end: what was acknowledged is written, then serving ends.
  public func stop() { stopRequested = true }

  /// Starts the service while the loop runs: mount, and recovery where it is needed.
  /// - Parameter whenStarted: called once, with nil when the service has started, or with the error; the
  ///   reactor has ended then.
  public func begin(_ whenStarted: @escaping (ReactorError?) -> Void) {
    self.whenStarted = whenStarted
    join(.starting)
  }

  /// Serves `channel` while the loop runs, until the channel ends or `stop` is called; then the service
  /// writes everything and `whenEnded` is called.
  public func take(_ channel: any RequestChannel) {
    self.channel = channel
    loop.addEdge(channel.descriptor)
    join(.serving)
  }

  /// Starts the service, and waits for it.
  /// - Throws: `ReactorError` when the service has failed, or `stop` was called meanwhile.
  public func start() throws(ReactorError) {
    var failure: ReactorError?
    begin { failure = $0 }
    loop.run { phase == .starting }
    if let failure { throw failure }
  }

  /// Serves `channel`, and waits for the end.
  public func serve(_ channel: any RequestChannel) -> Ending {
    take(channel)
    loop.run { phase != .ended }
    return ending
  }

  // MARK: Phases

  private func join(_ phase: Phase) {
    if self.phase == .waiting {
      for descriptor in deviceDescriptors { loop.addEdge(descriptor) }
      loop.add(self)
    }
    self.phase = phase
  }

  private func leave() {
    phase = .ended
    loop.remove(self)
    for descriptor in deviceDescriptors { loop.removeEdge(descriptor) }
  }

  /// Runs one turn.
  /// - Returns: whether there is more to do before sleeping.
  func turn() -> Bool {
    switch phase {
    case .serving:
      guard let channel else { return false }
      return turnServing(channel)
    case .starting: return turnStarting()
    case .ready: return stopRequested ? finish(.stopped) : turn(nil, busy: false)
    case .finishing: return turnFinishing()
    case .waiting, .ended: return false
    }
  }

  private func turnStarting() -> Bool {
    let wantsMore = turn(nil, busy: false)
    if let failure = service.failure {
      leave()
      whenStarted(ReactorError(failure))
    } else if service.isReady {
      phase = .ready
      whenStarted(nil)
    } else if stopRequested {
      leave()
      whenStarted(ReactorError("interrupted while the filesystem was starting"))
    } else {
      return wantsMore
    }
    return true
  }

  private func turnServing(_ channel: any RequestChannel) -> Bool {
    if stopRequested { return finish(.stopped) }
    let receipt = receive(channel)
    let wantsMore = turn(channel, busy: receipt != .empty)
    return receipt == .ended ? finish(.unmounted) : wantsMore
  }

  /// Has the service write everything; requests in progress are still answered.
  private func finish(_ ending: Ending) -> Bool {
    if let channel { loop.removeEdge(channel.descriptor) }
    self.ending = ending
    phase = .finishing
    tick()
    while let slot = turns.nextOfAll() { begin(slot) }
    service.stop()
    eventsSinceAdvance = true
    carryOut(channel)
    return true
  }

  private func turnFinishing() -> Bool {
    let wantsMore = turn(channel, busy: false)
    let hasGivenUp = service.failure != nil && inFlight == 0 && backlog.isEmpty
    guard service.isStopped || hasGivenUp else { return wantsMore }
    if let failure = service.failure { ending = .failed(failure) }
    leave()
    whenEnded(ending)
    return true
  }

  /// Polls everything but the channel once.
  /// - Parameter busy: whether the channel had messages.
  /// - Returns: whether there is more to do before sleeping.
  private func turn(_ channel: (any RequestChannel)?, busy: Bool) -> Bool {
    let busy = pollDevice(channel) || busy
    let wantsMore = advanceIfDue(channel, idle: !busy)
    if busy { endPause() }
    return busy || wantsMore
  }

  /// Receives messages, as many as there are slots for and `batch` at most, and carries out the effects of
  /// all of them together.
  /// - Returns: `request` when there was any message, `empty` when there was none or no slot for it.
  private func receive(_ channel: any RequestChannel) -> Receipt {
    if !isSpinning { tick() }
    var count = 0
    var last = Receipt.empty
    while count < batch {
      last = receiveOne(channel)
      guard last == .request || last == .consumed else { break }
      count += 1
    }
    // The batch grows only while more messages are waiting: a lone request is answered before anything else
    // is done.
    batch = count == batch ? min(batch * 2, Self.largestBatch) : max(count, 1)
    guard count > 0 else { return last }
    eventsSinceAdvance = true
    carryOut(channel)
    return last == .ended ? .ended : .request
  }

  private static let largestBatch = 16

  /// Receives one message, if a slot is free for it.
  private func receiveOne(_ channel: any RequestChannel) -> Receipt {
    guard let slot = pool.take() else {
      if !lacksSlots { counters.slotShortages += 1 }
      lacksSlots = true
      return .empty
    }
    lacksSlots = false
    let receipt = channel.receive(into: slot)
    guard receipt == .request else {
      pool.give(slot)
      return receipt
    }
    if isSpinning {
      isSpinning = false
      tick()
    }
    let request = service.requests + slot
    counters.count(request.pointee.operation)
    callers.receive(from: request.pointee.pid)
    if turns.admit(
      slot, uid: request.pointee.uid, bytes: request.pointee.movedBytes, now: service.now.monotonic)
    {
      begin(slot)
    } else {
      counters.heldRequests += 1
      asked.trace.record(TracedEvent(.held), of: UInt16(truncatingIfNeeded: slot))
    }
    return receipt
  }

  /// Has the service begin a request.
  @inline(__always)
  func begin(_ slot: Int) {
    let start = cm_monotonic_ns()
    service.begin(slot: slot)
    counters.countStep(cm_monotonic_ns() &- start)
    // A request that was not answered at once waits for the device.
    if asked.finished.last != UInt32(truncatingIfNeeded: slot) {
      turns.wait(uid: service.requests[slot].uid, now: service.now.monotonic)
    }
  }

  /// Sets the service's time.
  @inline(__always)
  func tick() {
    service.now = Instant(
      monotonic: cm_monotonic_ns(), realtime: usesKernelTime ? cm_coarse_realtime_ns() : cm_realtime_ns())
  }
}

extension Request {
  /// The bytes that a read or a write moves; 0 for all others.
  fileprivate var movedBytes: Int {
    operation == .read || operation == .write ? Int(clamping: length) : 0
  }
}
