import FileProtocol
import FileSystem
import Format
import Glibc

/// Drives a filesystem over a simulated disk, one event at a time: the same seed gives exactly the same run.
public final class Harness {
  public let service: any FileService
  public let disk: SimulatedDisk
  public let memory: SimulatedMemory
  public private(set) var clock: SimulatedClock
  /// Events so far.
  public private(set) var events = 0
  /// Called after each event, when its commands have been submitted to the disk: the moments for a power cut.
  public var afterEvent: (() throws -> Void)?
  /// Called with each reply.
  public var answered: ((_ slot: Int, Answer) throws -> Void)?
  /// The longest that a request waited for its reply, in simulated nanoseconds.
  public private(set) var longestWait: UInt64 = 0
  /// Times each node was looked up and not forgotten, as the kernel counts.
  public private(set) var lookups: [UInt64: UInt64] = [:]

  private var calls: [Call?]
  /// When the request in each slot began.
  private var begun: [Moment]
  private let fileSystem: FileSystem?
  /// Slots that the service keeps beyond their reply.
  private var kept: Set<Int> = []
  private var random: SeededRandom
  private var nextAdvance: UInt64 = 0
  private var quietEvents = 0
  private var collected: [Int: Answer] = [:]

  /// How many events in a row may pass without a command, a completion or a reply before that counts as a
  /// hang.
  private static let patience = 200_000
  /// Events and time that may pass until a request has its reply, and until the filesystem has stopped once
  /// it was asked to. It is far more than anything takes that makes progress.
  private static let longestWait = Moment(event: 600_000, time: 300_000_000_000)
  /// How much longer than its interval a commit of everything may take, ns.
  private static let longestCommit: UInt64 = 60_000_000_000

  /// A moment in a run, or the distance of two.
  private struct Moment {
    var event = 0
    var time: UInt64 = 0
  }

  public init(
    service: any FileService, disk: SimulatedDisk, memory: SimulatedMemory, seed: UInt64 = 1,
    clock: SimulatedClock = SimulatedClock()
  ) {
    self.service = service
    self.disk = disk
    self.memory = memory
    self.clock = clock
    calls = Array(repeating: nil, count: memory.slots)
    begun = Array(repeating: Moment(), count: memory.slots)
    fileSystem = service as? FileSystem
    random = SeededRandom(seed, stream: 0x68617265)
    disk.attach(memory: memory.base)
    service.now = clock.now
  }

  // MARK: Requests

  /// The number of requests under way.
  public var underWay: Int { calls.count { $0 != nil } }

  /// How many slots the service keeps beyond their reply.
  public var keptSlots: Int { kept.count }

  /// Whether a request can begin.
  public var hasFreeSlot: Bool { freeSlot != nil }

  private var freeSlot: Int? { calls.indices.first { calls[$0] == nil && !kept.contains($0) } }

  /// Puts a request into a free slot and begins it.
  /// - Returns: the slot, nil when none is free.
  public func begin(_ call: Call) throws -> Int? {
    guard let slot = freeSlot else { return nil }
    calls[slot] = call
    clock.pass(UInt64(random.number(200...3_000)))
    service.requests[slot] = request(call, slot: slot)
    service.replies[slot] = Reply()
    service.now = clock.now
    begun[slot] = moment
    service.begin(slot: slot)
    nextAdvance = 0
    try checkStep()
    try drain()
    return slot
  }

  private func request(_ call: Call, slot: Int) -> Request {
    var request = Request()
    request.operation = call.operation
    request.node = call.node
    request.otherNode = call.otherNode
    request.handle = call.handle
    request.name = memory.keep(call.name, slot: slot, second: false)
    request.otherName = memory.keep(call.otherName, slot: slot, second: true)
    request.offset = call.offset
    request.length = call.length
    request.flags = call.flags
    request.mode = call.mode
    request.device = call.device
    request.uid = call.uid
    request.gid = call.gid
    request.pid = 1
    request.killPrivileges = call.killPrivileges
    request.isDirect = call.isDirect
    request.isWriteback = call.isWriteback
    request.keepsTimes = call.keepsTimes
    request.isWrittenBack = call.isWrittenBack
    request.isForReading = call.isForReading
    request.change = call.change
    request.firstFrame = UInt32(memory.firstFrame(slot: slot))
    request.frameCount = UInt32(memory.slotFrames)
    if call.operation == .write {
      request.length = UInt64(call.payload.count)
      request.payloadOffset = call.payloadOffset
      let start = memory.base + memory.firstFrame(slot: slot) * Page.size + call.payloadOffset
      call.payload.withUnsafeBytes {
        if let source = $0.baseAddress { start.copyMemory(from: source, byteCount: $0.count) }
      }
    }
    return request
  }

  /// Makes a request and returns its reply.
  public func call(_ call: Call) throws -> Answer {
    let handler = answered
    defer { answered = handler }
    answered = { [unowned self] slot, answer in collected[slot] = answer }
    while !hasFreeSlot { try step() }
    guard let slot = try begin(call) else { throw SimulationFailure("no slot is free") }
    while true {
      if let answer = collected.removeValue(forKey: slot) { return answer }
      try step()
    }
  }

  /// The kernel forgets `count` lookups of a node, all when nil.
  public func forget(_ node: UInt64, count: UInt64? = nil) throws {
    guard let held = lookups[node] else { return }
    let dropped = min(count ?? held, held)
    lookups[node] = held > dropped ? held - dropped : nil
    service.now = clock.now
    service.forget(node: node, count: dropped)
    nextAdvance = 0
    try drain()
  }

  // MARK: Events

  /// One event: a completion, a step of background work, or the passing of time until the next.
  public func step() throws {
    guard try event() else {
      throw SimulationFailure("hangs: \(underWay) requests wait, nothing is in flight")
    }
  }

  /// One event, when there is one.
  /// - Parameter until: how far time may pass (ns, monotonic).
  /// - Returns: false when nothing will happen by itself before then.
  public func event(until: UInt64 = .max) throws -> Bool {
    let due = nextAdvance <= clock.now.monotonic
    if !disk.isIdle, !due || random.chance(60) {
      clock.pass(UInt64(random.number(500...60_000)))
      complete()
    } else if due {
      clock.pass(UInt64(random.number(100...5_000)))
      advance()
    } else if nextAdvance != .max, nextAdvance <= until {
      // No request may wait for a timer.
      guard underWay == 0 else {
        throw SimulationFailure("hangs: \(underWay) requests wait for the clock, nothing is in flight")
      }
      clock.reach(nextAdvance)
      advance()
    } else {
      return false
    }
    try checkStep()
    try drain()
    events += 1
    try checkInvariants()
    quietEvents += 1
    if events % 1024 == 0 { try checkWaits() }
    if quietEvents > Self.patience {
      throw SimulationFailure("spins: \(Self.patience) steps without a command, a completion or a reply")
    }
    try afterEvent?()
    return true
  }

  /// Lets time pass until the filesystem has nothing left to do, or at most `nanoseconds`.
  public func idle(_ nanoseconds: UInt64) throws {
    let end = clock.now.monotonic + nanoseconds
    while clock.now.monotonic < end, try event(until: end) {}
    while !disk.isIdle { _ = try event(until: end) }
    clock.reach(end)
    nextAdvance = min(nextAdvance, end)
  }

  private var moment: Moment { Moment(event: events, time: clock.now.monotonic) }

  /// No event may do more than a bounded amount of work.
  private func checkStep() throws {
    guard let fileSystem, fileSystem.statistics.mostWorkPerStep > FileSystem.stepLimit else { return }
    throw SimulationFailure(
      "one event did \(fileSystem.statistics.mostWorkPerStep) units of work, not \(FileSystem.stepLimit) at most"
    )
  }

  /// Events between two checks that look at every frame; debug builds take 20 times as long for one.
  private static let eventsBetweenWalks = _isDebugAssertConfiguration() ? 256 : 16

  /// Whether the state in memory is compared after each event: not where something else writes to that memory.
  public var checksInvariants = true

  /// Checks between two events that the invariants of the filesystem's owners hold.
  private func checkInvariants() throws {
    guard let fileSystem, checksInvariants else { return }
    let violations = fileSystem.checkInvariants(walksFrames: events % Self.eventsBetweenWalks == 0)
    guard violations.isEmpty else {
      throw SimulationFailure("the state in memory is wrong: \(violations.joined(separator: "; "))")
    }
  }

  /// Fails when a request or the commit has waited beyond its bound, whatever the load.
  private func checkWaits() throws {
    for (slot, call) in calls.enumerated() {
      if let call { try checkWait(since: begun[slot], "\(call.operation)") }
    }
    guard let fileSystem, let age = fileSystem.uncommittedAge else { return }
    guard age > fileSystem.commitInterval + Self.longestCommit else { return }
    throw SimulationFailure("what changed \(age / 1_000_000) ms ago is not committed")
  }

  private func checkWait(since start: Moment, _ what: String) throws {
    let waited = Moment(event: events - start.event, time: clock.now.monotonic - start.time)
    guard waited.event > Self.longestWait.event || waited.time > Self.longestWait.time else { return }
    throw SimulationFailure("\(what) waits since \(waited.event) events, \(waited.time / 1_000_000) ms")
  }

  private func complete() {
    guard let ended = disk.completeOne() else { return }
    quietEvents = 0
    service.now = clock.now
    service.complete(tag: ended.tag, errno: ended.errno)
    nextAdvance = 0
  }

  private func advance() {
    service.now = clock.now
    nextAdvance = service.advance()
  }

  private func drain() throws {
    while !service.effects.commands.isEmpty || !service.effects.finished.isEmpty
      || !service.effects.released.isEmpty
    {
      quietEvents = 0
      let commands = service.effects.commands
      let finished = service.effects.finished
      let released = service.effects.released
      service.effects.commands.removeAll(keepingCapacity: true)
      service.effects.finished.removeAll(keepingCapacity: true)
      service.effects.released.removeAll(keepingCapacity: true)
      for command in commands { disk.submit(command) }
      for slot in finished { try finish(Int(slot)) }
      for slot in released where kept.remove(Int(slot)) == nil {
        throw SimulationFailure("releases slot \(slot), which it does not keep")
      }
    }
    if let fault = disk.misuse.first { throw SimulationFailure("misuses the disk: \(fault)") }
  }

  private func finish(_ slot: Int) throws {
    guard calls.indices.contains(slot), let call = calls[slot] else {
      throw SimulationFailure("replies to slot \(slot), which has no request")
    }
    var answer = Answer(reply: service.replies[slot])
    if call.operation == .read, answer.error == 0 {
      let room = memory.slotFrames * Page.size
      let offset = answer.reply.dataOffset
      let count = Int(clamping: answer.reply.count)
      guard offset >= 0, count <= Int(clamping: call.length), offset + count <= room else {
        throw SimulationFailure("a read of \(call.length) answers \(count) bytes at \(offset)")
      }
      let start = memory.base + memory.firstFrame(slot: slot) * Page.size + offset
      answer.data = Array(UnsafeRawBufferPointer(start: start, count: count))
    }
    longestWait = max(longestWait, clock.now.monotonic - begun[slot].time)
    countLookups(call, answer.reply)
    calls[slot] = nil
    if service.replies[slot].keepsSlot { kept.insert(slot) }
    try answered?(slot, answer)
  }

  private func countLookups(_ call: Call, _ reply: Reply) {
    guard reply.error == 0 else { return }
    switch call.operation {
    case .lookup, .create, .createUnnamed, .mknod, .mkdir, .symlink, .link:
      if reply.node != 0 { lookups[reply.node, default: 0] += 1 }
    case .readdirplus:
      for entry in reply.entries
      where entry.node != 0 && entry.name != [0x2e] && entry.name != [0x2e, 0x2e] {
        lookups[entry.node, default: 0] += 1
      }
    default: break
    }
  }

  // MARK: Life

  /// Runs events until the filesystem is mounted.
  /// - Throws: `SimulationFailure` when the mount fails.
  public func mount() throws {
    try drain()
    while !service.isReady {
      if let failure = service.failure { throw SimulationFailure("does not mount: \(failure)") }
      guard try event() else { throw SimulationFailure("the mount hangs") }
    }
  }

  /// Stops the filesystem in order.
  public func unmount() throws {
    service.now = clock.now
    service.stop()
    nextAdvance = 0
    try drain()
    let start = moment
    while !service.isStopped {
      guard try event() else { throw SimulationFailure("the unmount hangs") }
      try checkWait(since: start, "the unmount")
    }
    if !disk.isIdle { throw SimulationFailure("stopped with commands in flight") }
  }
}
