import FileProtocol
import FileSystem
import Glibc

/// Chooses what each client does next.
public protocol Workload: AnyObject {
  /// The next action of a client, nil when it is done.
  func next(client: Int, world: World, random: inout SeededRandom) -> Action?
}

/// Runs the actions of several clients at the same time, and compares every reply with the model.
public final class Runner {
  /// One request of an action, and what is done with its reply.
  struct Step {
    var call: () throws -> Call
    var then: (Answer) throws -> [Step]
  }

  private struct Client {
    /// What is left of its action, the next last.
    var steps: [Step] = []
    var wakes: UInt64 = 0
    var isDone = false
  }

  public let harness: Harness
  public let world: World
  /// Errors that any action may end with.
  public var tolerated: Set<Int32> = []
  /// How often each tolerated error was returned.
  public internal(set) var refusals: [Int32: Int] = [:]
  /// The last reply of statfs.
  public internal(set) var space = SpaceReport()
  /// When set, is called with a line for each action and each reply.
  public var trace: ((String) -> Void)?
  /// Actions that came to an end.
  public private(set) var actions = 0

  private let workload: any Workload
  private var clients: [Client]
  private var waiting: [Int: (client: Int, step: Step)] = [:]
  var random: SeededRandom

  public init(harness: Harness, world: World, workload: any Workload, seed: UInt64) {
    self.harness = harness
    self.world = world
    self.workload = workload
    clients = Array(repeating: Client(), count: world.logs.count)
    random = SeededRandom(seed, stream: 0x72756e)
    world.node(0).isShared = world.logs.count > 1
  }

  /// Runs the workload to its end.
  public func run() throws {
    harness.answered = { [unowned self] slot, answer in try answered(slot, answer) }
    defer { harness.answered = nil }
    while clients.contains(where: { !$0.isDone }) {
      if try startOne() { continue }
      let wakes = clients.filter { !$0.isDone && $0.steps.isEmpty }.map(\.wakes).min() ?? .max
      guard try harness.event(until: wakes) else {
        guard waiting.isEmpty, wakes != .max else {
          throw SimulationFailure("hangs: \(waiting.count) requests wait, nothing is in flight")
        }
        try idle(until: wakes)
        continue
      }
    }
  }

  /// Lets time pass without requests: the background commit must make everything durable in time.
  private func idle(until wakes: UInt64) throws {
    try harness.idle(wakes - min(wakes, harness.clock.now.monotonic))
    let idleFor = harness.clock.now.monotonic - lastAnswer
    guard idleFor > Self.commitsWithin, !tolerated.contains(EIO) else { return }
    if let age = (harness.service as? FileSystem)?.uncommittedAge {
      throw SimulationFailure(
        "what changed \(age / 1_000_000) ms ago is not committed, though nothing else goes on")
    }
    world.settleAll()
  }

  /// Twice the interval of background commits, ns.
  private static let commitsWithin: UInt64 = 10_000_000_000

  /// Starts the next action of a client that is ready; often only after the next event.
  private func startOne() throws -> Bool {
    let busy = Set(waiting.values.map(\.client))
    let ready = clients.indices.filter {
      !clients[$0].isDone && !busy.contains($0) && clients[$0].wakes <= harness.clock.now.monotonic
    }
    guard !ready.isEmpty else { return false }
    if !waiting.isEmpty || !harness.disk.isIdle, random.chance(30) { return false }
    guard harness.hasFreeSlot, let client = random.pick(ready) else { return false }
    guard let step = clients[client].steps.popLast() else {
      try beginAction(client)
      return true
    }
    return try send(step, client)
  }

  private func beginAction(_ client: Int) throws {
    guard let action = workload.next(client: client, world: world, random: &random) else {
      clients[client].isDone = true
      return
    }
    actions += 1
    if let trace { trace("\(harness.clock.now.realtime) client \(client): \(action)") }
    if case .idle(let nanoseconds) = action {
      clients[client].wakes = harness.clock.now.monotonic + nanoseconds
    } else {
      clients[client].steps = try steps(for: action, client: client).reversed()
    }
  }

  private func send(_ step: Step, _ client: Int) throws -> Bool {
    let call = try step.call()
    // The reply may come before `begin` returns, so the step is kept here until its slot is known.
    starting = (client, step)
    defer { starting = nil }
    guard let slot = try harness.begin(call) else { throw SimulationFailure("no slot is free") }
    if let started = starting { waiting[slot] = started }
    return true
  }

  private var starting: (client: Int, step: Step)?
  /// When the last reply came, ns (monotonic).
  private var lastAnswer: UInt64 = 0

  private func answered(_ slot: Int, _ answer: Answer) throws {
    lastAnswer = harness.clock.now.monotonic
    let entry: (client: Int, step: Step)
    if let known = waiting.removeValue(forKey: slot) {
      entry = known
    } else if let started = starting {
      entry = started
      starting = nil
    } else {
      throw SimulationFailure("slot \(slot) was answered twice")
    }
    if let trace {
      trace("\(harness.clock.now.realtime) client \(entry.client): answer \(answer.error)")
    }
    clients[entry.client].steps += try entry.step.then(answer).reversed()
  }

  /// ENOSPC is right only when fewer blocks are available than the action may take, with its nodes and names.
  private func checkFull(_ pending: Pending) throws {
    guard let available = (harness.service as? FileSystem)?.spaceReport.available else { return }
    let bytes: UInt64 =
      switch pending.action {
      case .write(_, _, let length, _): UInt64(length)
      case .allocate(_, _, _, let length): length
      default: 0
      }
    guard available > bytes / 4096 + 32 else { return }
    throw SimulationFailure("\("\(pending.action)".prefix(200)) fails with \(available) blocks available")
  }

  /// Ends an action that failed with an error which the workload tolerates: it has changed nothing, except
  /// that parts of a file's contents may have been written or cleared.
  func refuse(_ error: Int32, _ pending: Pending) throws {
    guard tolerated.contains(error) else {
      throw SimulationFailure("\("\(pending.action)".prefix(200)) fails with errno \(error)")
    }
    refusals[error, default: 0] += 1
    if error == ENOSPC { try checkFull(pending) }
    switch pending.action {
    case .write(let node, _, _, sync: true) where error == EIO:
      // Its data may be there although it could not be made durable.
      world.node(node).isUncertain = true
      world.succeed(pending, now: .max, isDurable: false)
    case .allocate(let node, _, _, _):
      // A long range is done in parts; the parts before the failed one are done.
      world.node(node).isUncertain = true
      pending.moment.latest = harness.clock.now.realtime
      world.node(node).halfChanges.append(pending.moment)
      world.fail(pending)
    default:
      world.fail(pending)
    }
  }
}
