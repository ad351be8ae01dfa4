import Block
import CMachine
import FileSystem

/// The event loop that joins a channel of requests, a filesystem and a device.
///
/// One thread owns it, and with it the service, the channel and the device. It never blocks but in `Sleeper`, and
/// allocates nothing for a request: see the module's article for the order of its steps.
public final class Reactor {
  /// The filesystem.
  public let service: any FileService
  /// Where the slots lie.
  public let slots: SlotLayout
  /// What was done so far.
  public internal(set) var counters = ReactorCounters()
  /// How long to go on polling before sleeping, in nanoseconds; see `rest`.
  public var spin: UInt64 = 30_000
  /// Called after each `advance`: the place to look at what the service has to tell people.
  public var afterAdvance: () -> Void = {}

  let device: (any BlockDevice)?
  let sleeper: Sleeper
  var pool: SlotPool
  var backlog = CommandBacklog()
  /// The service's effects while they are carried out; changes places with the service's own lists.
  var effects = Effects()
  var completions: [BlockCompletion] = []
  /// Commands the device has taken and not completed.
  var inFlight = 0
  /// Whether the device said, when asked to sleep, that completions wait.
  var completionsWait = false
  /// Commands failed here, because there is no device, whose service still has to hear of it.
  var refused: [UInt64] = []

  /// When the service wants `advance`, and when it was last called.
  var advanceDue: UInt64 = 0
  var lastAdvance: UInt64 = 0
  /// Whether the service was told of anything since `advance`.
  var eventsSinceAdvance = true
  /// When there began to be nothing to do, 0 while there is; and how long that lasted the last time.
  var idleSince: UInt64 = 0
  var lastPause: UInt64 = 0
  /// Whether nothing but polling was done since the service was told the time.
  var isSpinning = false
  /// How many messages are taken at once.
  var batch = 1

  var handlers: [Int32: () -> Void] = [:]
  /// When watched descriptors were last looked at.
  var lastLook: UInt64 = 0
  var stopRequested = false

  /// Joins a service to a device.
  /// - Parameter device: nil for a service that gives no commands.
  /// - Throws: `ReactorError` when the system has no descriptor left.
  public init(service: any FileService, device: (any BlockDevice)?, slots: SlotLayout) throws(ReactorError) {
    self.service = service
    self.device = device
    self.slots = slots
    sleeper = try Sleeper()
    pool = SlotPool(count: slots.count)
    completions.reserveCapacity(Self.completionBatch)
    slots.describe(to: service)
    if let interrupt = device?.interruptDescriptor { sleeper.addEdge(interrupt) }
    if let event = device?.eventDescriptor { sleeper.addEdge(event) }
    if let removal = device?.removalDescriptor {
      watch(removal) { [unowned self] in
        sleeper.remove(removal)
        handlers[removal] = nil
        stop()
      }
    }
  }

  /// Calls `handler` on the reactor's thread while `descriptor` is readable; it must read it empty.
  ///
  /// For what happens rarely: signals, a control socket.
  public func watch(_ descriptor: Int32, _ handler: @escaping () -> Void) {
    handlers[descriptor] = handler
    sleeper.addLevel(descriptor)
  }

  /// Ends what `watch` began; to be called before the descriptor is closed.
  public func unwatch(_ descriptor: Int32) {
    sleeper.remove(descriptor)
    handlers[descriptor] = nil
  }

  /// Asks for the orderly end: what was acknowledged is written, then `serve` returns.
  public func stop() { stopRequested = true }

  /// Lets the service start: mount, and recovery where it is needed.
  /// - Throws: `ReactorError` when the service cannot go on, or `stop` was called meanwhile.
  public func start() throws(ReactorError) {
    while true {
      if let failure = service.failure { throw ReactorError(failure) }
      if service.isReady { return }
      if stopRequested { throw ReactorError("interrupted while the filesystem was starting") }
      if !turn(nil, busy: false), !service.isReady, service.failure == nil { rest() }
    }
  }

  /// Serves `channel` until it ends or `stop` is called, then has the service write everything.
  public func serve(_ channel: any RequestChannel) -> Ending {
    sleeper.addEdge(channel.descriptor)
    var ended = false
    while !ended && !stopRequested {
      let receipt = receive(channel)
      ended = receipt == .ended
      if !turn(channel, busy: receipt != .empty) { rest() }
    }
    sleeper.remove(channel.descriptor)
    return finish(channel) ?? (ended ? .unmounted : .stopped)
  }

  /// Has the service write everything; requests under way are still answered.
  /// - Returns: nil when all was written.
  private func finish(_ channel: any RequestChannel) -> Ending? {
    tick()
    service.stop()
    eventsSinceAdvance = true
    carryOut(channel)
    while !service.isStopped {
      if let failure = service.failure, inFlight == 0, backlog.isEmpty { return .failed(failure) }
      if !turn(channel, busy: false), !service.isStopped { rest() }
    }
    return service.failure.map { .failed($0) }
  }

  /// Looks once at everything but the channel.
  /// - Parameter busy: whether the channel had something.
  /// - Returns: whether there is more to do before sleeping.
  private func turn(_ channel: (any RequestChannel)?, busy: Bool) -> Bool {
    let busy = pollDevice(channel) || busy
    let wantsMore = advanceIfDue(channel, idle: !busy)
    if busy { endPause() }
    return busy || wantsMore
  }

  /// Takes messages, as many as there are slots for and `batch` at most, and carries out what the service wants done
  /// for them all at once.
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
    // More are taken at once only while more are waiting: a lone request is answered before anything else is done.
    batch = count == batch ? min(batch * 2, Self.largestBatch) : max(count, 1)
    guard count > 0 else { return last }
    eventsSinceAdvance = true
    carryOut(channel)
    return last == .ended ? .ended : .request
  }

  private static let largestBatch = 16

  /// Takes one message, if a slot is free for it.
  private func receiveOne(_ channel: any RequestChannel) -> Receipt {
    guard let slot = pool.take() else {
      counters.slotShortages += 1
      return .empty
    }
    let receipt = channel.receive(into: slot)
    guard receipt == .request else {
      pool.give(slot)
      return receipt
    }
    if isSpinning {
      isSpinning = false
      tick()
    }
    counters.count(service.requests[slot].operation)
    service.begin(slot: slot)
    return receipt
  }

  /// Tells the service the time.
  @inline(__always)
  func tick() { service.now = Instant(monotonic: cm_monotonic_ns(), realtime: cm_realtime_ns()) }
}
