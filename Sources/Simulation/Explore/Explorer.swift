import FileProtocol
import FileSystem
import Format

/// Runs a scenario, cuts the power at many moments and in many ways, mounts the disk that is left, and checks
/// it against the promise.
public final class Explorer {
  public struct Settings: Sendable {
    /// 4 KiB blocks of the disk.
    public var blockCount: UInt64 = 16384
    /// Whether each run has sizes and options of its own; see `Shape`.
    public var variesShape = false
    /// States examined in a run, about.
    public var statesPerRun = 200
    /// States at each moment.
    public var statesPerPoint = 8
    /// Examine only this moment.
    public var point: Int?
    /// Examine only this state of the moment.
    public var state: Int?
    /// In one of how many states the mount is used further and crashed again; 0 for never.
    public var aftermathEvery = 4
    /// In one of how many states the newest checkpoint is lost as well; 0 for never.
    public var lostCheckpointEvery = 8
    /// In one of how many states a first recovery meets a command that fails; 0 for never.
    public var failedRecoveryEvery = 8
    /// In one of how many states the mount has time to free all unreachable inodes and detached trees; 0 for
    /// never.
    public var settledEvery = 4
    /// In one of how many states the mount is read-only first, and then made writable; 0 for never.
    public var readOnlyEvery = 8

    public init() {}
  }

  public struct Result: Sendable {
    public var states = 0
    public var points = 0
    /// States in which the newest checkpoint was lost as well, and how many of them were rightly refused.
    public var lostCheckpoints = 0
    public var refusals = 0
    /// States that were mounted read-only first, and how many of them had too long a log for that.
    public var readOnlyMounts = 0
    public var longLogs = 0
    public var violations: [Violation] = []
    /// The longest that a request of a run waited, in simulated nanoseconds, and the most work that an event
    /// did; see `FileSystem.stepLimit`.
    public var longestWait: UInt64 = 0
    public var mostWork: UInt64 = 0

    public init() {}

    /// Adds what another run found.
    public mutating func add(_ other: Result) {
      states += other.states
      points += other.points
      lostCheckpoints += other.lostCheckpoints
      refusals += other.refusals
      readOnlyMounts += other.readOnlyMounts
      longLogs += other.longLogs
      violations += other.violations
      longestWait = max(longestWait, other.longestWait)
      mostWork = max(mostWork, other.mostWork)
    }
  }

  /// When an image is examined.
  public enum Moment: Sendable {
    /// As the power cut left it.
    case crashed
    /// After an orderly unmount.
    case unmounted
    /// After an orderly unmount, before which the mount had time to free all unreachable inodes and detached
    /// trees.
    case settled
  }

  public private(set) var scenario: Scenario
  public let mounter: Mounter
  public var settings: Settings
  /// Examines the disk before it is mounted and after it was unmounted; returns what is wrong.
  public var inspector: ((_ image: DiskImage, _ moment: Moment) -> String?)?
  /// Called with a line for each action, reply and device command of the run.
  public var trace: ((String) -> Void)?

  private let pool = BlockPool()
  /// The arenas of the run, of its recoveries, and of their recoveries.
  private var memories: [SimulatedMemory] = []
  private var result = Result()

  public init(_ scenario: Scenario, mounter: Mounter, settings: Settings = Settings()) {
    self.scenario = scenario
    self.mounter = mounter
    self.settings = settings
  }

  // MARK: A run

  private struct Run {
    let harness: Harness
    let world: World
    let runner: Runner
    let profile: DiskProfile
  }

  /// Examines one run, which the seed determines.
  public func explore(seed: UInt64) -> Result {
    result = Result()
    if settings.variesShape { scenario.shape = Shape(seed: seed) }
    memories = []
    do {
      let rehearsal = try prepare(seed: seed)
      // A run that fails by itself does so here.
      if settings.point == nil { watch(rehearsal) }
      try rehearsal.runner.run()
      let events = rehearsal.harness.events
      let run = try prepare(seed: seed)
      try examine(run, seed: seed, points: points(events, seed: seed))
      if run.harness.events != events || run.harness.disk.statistics != rehearsal.harness.disk.statistics {
        throw SimulationFailure("the same run went differently: \(run.harness.events) events, not \(events)")
      }
      try examineEnd(run, seed: seed)
      result.longestWait = run.harness.longestWait
      result.mostWork = (run.harness.service as? FileSystem)?.statistics.mostWorkPerStep ?? 0
    } catch {
      report(seed: seed, point: 0, state: 0, choice: "none", "\(error)")
    }
    return result
  }

  private func prepare(seed: UInt64) throws -> Run {
    var random = SeededRandom(seed, stream: 0x72756e73)
    var profile = DiskProfile(seed: seed)
    scenario.profile(&profile)
    let image = try DiskImage.formatted(
      pool: pool, blockCount: blockCount,
      segmentBlocks: scenario.blockCount > 0 ? nil : scenario.shape.segmentBlocks, seed: seed)
    let disk = SimulatedDisk(image, profile: profile, seed: seed)
    let memory = self.memory(depth: 0)
    let service = mounter.make(memory, disk, scenario)
    let harness = Harness(service: service, disk: disk, memory: memory, seed: seed)
    let world = World(clients: scenario.clients)
    let workload = scenario.workload(&random)
    let runner = Runner(harness: harness, world: world, workload: workload, seed: seed)
    runner.tolerated = scenario.tolerated
    try harness.mount()
    disk.faults = scenario.faults(&random)
    return Run(harness: harness, world: world, runner: runner, profile: profile)
  }

  /// The size of the disk: the scenario's, if it needs one.
  private var blockCount: UInt64 {
    if scenario.blockCount > 0 { return scenario.blockCount }
    return scenario.shape.blockCount > 0 ? scenario.shape.blockCount : settings.blockCount
  }

  /// The moments of a run that are examined.
  private func points(_ events: Int, seed: UInt64) -> Set<Int> {
    if let point = settings.point { return [point] }
    var random = SeededRandom(seed, stream: 0x706f696e)
    let count = max(1, settings.statesPerRun / settings.statesPerPoint)
    return Set((0..<count).map { _ in random.number(1...max(events, 1)) })
  }

  private func examine(_ run: Run, seed: UInt64, points: Set<Int>) throws {
    let harness = run.harness
    if settings.point != nil { watch(run) }
    harness.afterEvent = { [self] in
      guard points.contains(harness.events) else { return }
      trace?("--- power cut after event \(harness.events)")
      examineMoment(run, seed: seed)
    }
    defer { harness.afterEvent = nil }
    try run.runner.run()
  }

  private func watch(_ run: Run) {
    run.runner.trace = trace
    run.harness.disk.trace = trace
  }

  private func examineMoment(_ run: Run, seed: UInt64) {
    let point = run.harness.events
    var random = SeededRandom(seed, stream: UInt64(point))
    let choices = run.harness.disk.crashChoices(count: settings.statesPerPoint, &random)
    result.points += 1
    for (index, choice) in choices.enumerated() where settings.state == nil || settings.state == index {
      let fault = pool.scratch {
        examineState(run.harness.disk.crashImage(choice), run, seed: seed &+ UInt64(point * 64 + index))
      }
      if let fault { report(seed: seed, point: point, state: index, choice: "\(choice)", fault) }
    }
  }

  /// Examines an orderly end: nothing is lost, and inodes without a name that are not open have been freed.
  private func examineEnd(_ run: Run, seed: UInt64) throws {
    guard settings.point == nil, scenario.tolerated.isEmpty else { return }
    try run.runner.letGo()
    try run.harness.idle(20_000_000_000)
    try run.harness.unmount()
    run.world.settleAll()
    if let fault = inspector?(run.harness.disk.image, .settled) {
      throw SimulationFailure("after an orderly unmount: \(fault)")
    }
    let fault = pool.scratch { examineState(run.harness.disk.crashImage(.none), run, seed: seed) }
    if let fault { throw SimulationFailure("after an orderly unmount: \(fault)") }
  }

  // MARK: A state

  /// Mounts the disk after a power cut and compares it with the model.
  /// - Returns: what is wrong.
  private func examineState(_ image: DiskImage, _ run: Run, seed: UInt64) -> String? {
    result.states += 1
    if let fault = inspector?(image, .crashed) { return "before the mount: \(fault)" }
    if settings.lostCheckpointEvery > 0, seed % UInt64(settings.lostCheckpointEvery) == 1,
      let fault = pool.scratch({ examineWithoutNewestCheckpoint(image, run, depth: 1, seed: seed) })
    {
      return "without the newest checkpoint: \(fault)"
    }
    if settings.failedRecoveryEvery > 0, seed % UInt64(settings.failedRecoveryEvery) == 3,
      let fault = pool.scratch({ failRecovery(image, run, seed: seed) })
    {
      return fault
    }
    do {
      let disk = SimulatedDisk(image, profile: run.profile, seed: seed)
      let readsOnly = settings.readOnlyEvery > 0 && seed % UInt64(settings.readOnlyEvery) == 5
      let harness = mounted(disk, run, depth: 1, seed: seed, readsOnly: readsOnly)
      if let trace { disk.trace = { trace("recovery: \($0)") } }
      if scenario.crashesRecovery { crashRecovery(harness, run, seed: seed) }
      if readsOnly {
        guard try mountThenWrite(harness, run) else { return nil }
      } else {
        try harness.mount()
      }
      let recovered = try Recovered(harness)
      if let fault = Oracle.fault(run.world, recovered) { return fault }
      harness.afterEvent = nil
      var moment = Moment.unmounted
      if settings.aftermathEvery > 0, seed % UInt64(settings.aftermathEvery) == 0 {
        try continueAfter(harness, recovered, run, seed: seed)
      } else {
        if settings.settledEvery > 0, seed % UInt64(settings.settledEvery) == 2 {
          try harness.idle(1_000_000_000)
          moment = .settled
        }
        try harness.unmount()
      }
      if let fault = inspector?(disk.image, moment) { return "after the unmount: \(fault)" }
      return nil
    } catch {
      return "\(error)"
    }
  }

  /// Mounts read-only, and then makes the mount writable.
  /// - Returns: false where the log is too long for that, which is no fault.
  private func mountThenWrite(_ harness: Harness, _ run: Run) throws -> Bool {
    guard let service = harness.service as? FileSystem else {
      throw SimulationFailure("there is no filesystem to be made writable")
    }
    result.readOnlyMounts += 1
    do { try harness.mount() } catch {
      guard service.failure?.hasPrefix("too little memory to replay the log") == true else { throw error }
      result.longLogs += 1
      return false
    }
    if let fault = Oracle.fault(run.world, try Recovered(harness)) {
      throw SimulationFailure("mounted read-only: \(fault)")
    }
    if harness.disk.statistics.writes > 0 { throw SimulationFailure("a read-only mount writes") }
    guard service.state.canBecomeWritable else {
      result.longLogs += 1
      return false
    }
    let answer = try harness.call(Call(.open, node: 1).with { $0.flags = LinuxFlag.readWrite })
    guard answer.error == 0, !service.state.isReadOnly else {
      throw SimulationFailure("not made writable: \(answer.error), \(service.notices.last ?? "")")
    }
    return true
  }

  /// Examines the loss of all copies of the newest checkpoint: the promise must hold. The mount may be
  /// refused only where the next checkpoint was being written over the previous one.
  private func examineWithoutNewestCheckpoint(_ image: DiskImage, _ run: Run, depth: Int, seed: UInt64)
    -> String?
  {
    guard let damaged = image.withoutNewestCheckpoint() else { return nil }
    result.lostCheckpoints += 1
    let harness = mounted(
      SimulatedDisk(damaged, profile: run.profile, seed: seed), run, depth: depth, seed: seed)
    do {
      try harness.mount()
      return Oracle.fault(run.world, try Recovered(harness))
    } catch {
      guard let failure = harness.service.failure else { return "\(error)" }
      guard damaged.isCheckpointWrittenOver else {
        return "it is not mounted, though nothing of the previous checkpoint was overwritten: \(failure)"
      }
      result.refusals += 1
      return nil
    }
  }

  /// Makes a command of a recovery fail, and recovers again from the disk that is left, whether it mounted or
  /// not.
  private func failRecovery(_ image: DiskImage, _ run: Run, seed: UInt64) -> String? {
    var random = SeededRandom(seed, stream: 0x6661696c)
    let disk = SimulatedDisk(image, profile: run.profile, seed: seed)
    let operation = random.pick([DiskFault.Operation.write, .write, .flush, .read, .discard]) ?? .write
    let fault = DiskFault(operation, skip: random.below(12), count: random.pick([1, 2, 1000]) ?? 1)
    disk.faults = [fault]
    let harness = mounted(disk, run, depth: 1, seed: seed)
    do { try harness.mount() } catch {
      guard harness.service.failure != nil else {
        return "\(fault.operation) \(fault.skip) fails in the recovery: \(error)"
      }
    }
    let choice = disk.crashChoices(count: 4, &random).randomElement(using: &random) ?? .none
    return recoverAgain(disk.crashImage(choice), run, seed: random.next()).map {
      "\(fault.operation) \(fault.skip) failed in the recovery, then a power cut (\(choice)): \($0)"
    }
  }

  private func mounted(
    _ disk: SimulatedDisk, _ run: Run, depth: Int, seed: UInt64, readsOnly: Bool = false
  ) -> Harness {
    let memory = self.memory(depth: depth)
    var clock = run.harness.clock
    clock.pass(UInt64(depth) * 60_000_000_000)
    let scenario = scenario.with {
      $0.shape.checkpointBlocks = $0.shape.recoveryCheckpointBlocks
      $0.shape.readsOnly = readsOnly
    }
    return Harness(
      service: mounter.make(memory, disk, scenario), disk: disk, memory: memory, seed: seed, clock: clock)
  }

  /// Cuts the power during some recoveries, and recovers again.
  private func crashRecovery(_ harness: Harness, _ run: Run, seed: UInt64) {
    var random = SeededRandom(seed, stream: 0x72656372)
    harness.afterEvent = { [self] in
      guard random.chance(8) else { return }
      let choice = harness.disk.crashChoices(count: 4, &random).randomElement(using: &random) ?? .none
      result.states += 1
      let event = harness.events
      let losesCheckpoint = random.chance(20)
      let fault = pool.scratch {
        let image = harness.disk.crashImage(choice)
        return losesCheckpoint
          ? examineWithoutNewestCheckpoint(image, run, depth: 2, seed: random.next())
          : recoverAgain(image, run, seed: random.next())
      }
      if let fault {
        let state = losesCheckpoint ? ", without the newest checkpoint" : ""
        throw SimulationFailure(
          "crashed again after event \(event) of the recovery (\(choice)\(state)): \(fault)")
      }
    }
  }

  private func recoverAgain(_ image: DiskImage, _ run: Run, seed: UInt64) -> String? {
    do {
      let disk = SimulatedDisk(image, profile: run.profile, seed: seed)
      let harness = mounted(disk, run, depth: 2, seed: seed)
      try harness.mount()
      return Oracle.fault(run.world, try Recovered(harness))
    } catch {
      return "\(error)"
    }
  }

  /// Uses the recovered filesystem further, crashes it, and checks that everything found before is still
  /// there.
  private func continueAfter(_ harness: Harness, _ before: Recovered, _ run: Run, seed: UInt64) throws {
    let aftermath = Aftermath(harness, seed: seed)
    try aftermath.work()
    var random = SeededRandom(seed, stream: 0x61667465)
    let choice = harness.disk.crashChoices(count: 4, &random).randomElement(using: &random) ?? .none
    let fault: String? = pool.scratch {
      do {
        let disk = SimulatedDisk(harness.disk.crashImage(choice), profile: run.profile, seed: seed)
        let again = mounted(disk, run, depth: 2, seed: seed)
        try again.mount()
        return aftermath.fault(before, try Recovered(again))
      } catch {
        return "\(error)"
      }
    }
    if let fault {
      throw SimulationFailure("after recovery, more work and a power cut (\(choice)): \(fault)")
    }
    try harness.unmount()
  }

  // MARK: Bookkeeping

  private func memory(depth: Int) -> SimulatedMemory {
    let shape = scenario.shape
    while memories.count <= depth {
      memories.append(
        SimulatedMemory(
          frameCount: memories.isEmpty ? shape.frameCount : shape.recoveryFrames, slots: shape.slots))
    }
    return memories[depth]
  }

  private func report(seed: UInt64, point: Int, state: Int, choice: String, _ message: String) {
    result.violations.append(
      Violation(
        scenario: scenario.name, seed: seed, point: point, state: state, choice: choice, message: message))
  }
}
