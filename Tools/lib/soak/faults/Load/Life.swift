import Block
import BlockProtocol
import EmulatedController
import NVMe
import NVMeSpec
import PCI

/// One life of a device: opened, worked on while it shows faults, closed.
final class Life {
  /// A command of the load.
  private struct Job {
    var operation: BlockCommand.Operation
    var block: UInt64
    var count: Int
    /// What a write, a discard or a write of zeros leaves.
    var version: UInt64
    var isDurable: Bool
    var frames: UnsafeMutablePointer<UInt32>
    var mark: Ledger.Mark?
    /// When it was sent (ns).
    var start: UInt64
  }

  private static let depth = 24
  private static let blocksPerCommand = 6
  private static let second: UInt64 = 1_000_000_000

  private let controller: EmulatedController
  private let device: NamespaceDevice
  private let clock: Clock
  private let hasCache: Bool
  private var jobs: [UInt64: Job] = [:]
  private var busy: Set<UInt64> = []
  private var freeFrames: [UInt32]
  private var nextTag: UInt64 = 0
  private var nextVersion: UInt64
  private var completions: [BlockCompletion] = []

  /// Losses of power that the driver has found so far.
  private var powerLosses: UInt64 = 0
  /// Whether one of them took something: what a block may hold is known again once the device is reopened.
  private var hasLostCache = false

  private(set) var contents: SparseImage
  private(set) var ledger: Ledger
  private(set) var random: SeededRandom
  private(set) var commands = 0
  private(set) var errors = 0
  private(set) var longest: UInt64 = 0
  private(set) var violations: [String] = []
  /// The kinds of faults shown, in order.
  private(set) var history: [String] = []

  /// Time that moves only when nothing else is to be done.
  private final class Clock {
    var now: UInt64 = 1_000_000_000
  }

  /// Opens a device that holds `contents`; its other properties are drawn by lot.
  /// - Parameter protection: the metadata of the device in all lives of a run; nil for none.
  init(
    contents: SparseImage, protection: FaultRun.Protection?, ledger: Ledger, random: SeededRandom
  ) throws {
    self.contents = contents
    self.ledger = ledger
    self.random = random
    nextVersion = self.random.next() | 1
    // What a cache loses is known from a recording, which holds no metadata.
    hasCache = Bool.random(using: &self.random) && protection == nil
    let blockSize = protection?.blockSize ?? (Bool.random(using: &self.random) ? 4096 : 512)
    var namespace = EmulatedController.Namespace(.contents(contents), blockSize: blockSize)
    namespace.metadataSize = protection == nil ? 0 : FaultRun.Protection.metadataSize
    namespace.protectionType = protection?.type ?? 0
    var configuration = EmulatedController.Configuration(namespaces: [namespace])
    configuration.memoryBuffer = [0, 4096, 65_536].randomElement(using: &self.random) ?? 0
    configuration.hostMemory = [0, 65_536].randomElement(using: &self.random) ?? 0
    configuration.shadowDoorbells = Bool.random(using: &self.random)
    configuration.mode = .stepped
    configuration.volatileWriteCache = hasCache
    configuration.records = hasCache
    configuration.maximumTransfer = UInt8.random(in: 0...3, using: &self.random)
    configuration.latency = [0, 0, 80_000, 2_000_000].randomElement(using: &self.random) ?? 0
    configuration.retryDelays = Bool.random(using: &self.random) ? (1, 2, 3) : (0, 0, 0)
    controller = try EmulatedController(configuration, name: "faulty")
    let clock = Clock()
    self.clock = clock
    var options = ControllerOptions()
    options.queueEntries = [3, 8, 64].randomElement(using: &self.random) ?? 64
    options.offlineTimeout = 600 * Self.second
    options.time = TimeSource(now: { clock.now }, sleep: { clock.now += $0 })
    let frames = Self.depth * Self.blocksPerCommand
    device = try NamespaceDevice(
      controller: Controller.open(controller, options: options), namespace: 1, arenaFrames: frames)
    freeFrames = (0..<UInt32(frames)).map { $0 }
    for frame in freeFrames { poison(frame) }
  }

  /// Whether commands can succeed.
  var isUsable: Bool { device.controller.lostErrno == nil && device.loss == nil }

  /// Resets so far.
  var resets: UInt64 { device.controller.counters.resets }

  /// Works until a fault has been shown, and on until its effects are over.
  /// - Returns: whether it was shown.
  func show(_ kind: FaultKind) -> Bool {
    let before = controller.statistics.faultsShown
    controller.faultRules = kind.rules(&random)
    history.append(kind.rawValue)
    for _ in 0..<40 where isUsable && violations.isEmpty {
      work()
      if controller.statistics.faultsShown > before, Bool.random(using: &random) { break }
    }
    let isShown = controller.statistics.faultsShown > before
    // Often the next fault falls into the recovery from this one.
    if Bool.random(using: &random) { drain() }
    return isShown
  }

  /// Lets everything end, reads all of it back, and gives the device up.
  func end() {
    controller.faultRules = []
    drain()
    if device.controller.lostErrno == nil { readAll() }
    let left = device.underWay
    if left.requests != 0 || left.commands != 0 {
      violations.append("\(left.requests) requests and \(left.commands) commands were left")
    }
    checkPoison()
    contents = controller.contents(namespace: 1) ?? contents
    // Whether a device that is lost had kept what was in its cache is not known.
    if hasCache, device.controller.lostErrno != nil, controller.statistics.unsafeShutdowns > 0 {
      ledger.cutPower()
    }
    checkContents()
    device.close()
    if controller.mappedArenas != 0 {
      violations.append("\(controller.mappedArenas) arenas were left mapped")
    }
    ledger.restart()
  }

  /// Submits a few commands and collects what has ended.
  private func work() {
    for _ in 0..<Int.random(in: 1...8, using: &random) where jobs.count < Self.depth { submit() }
    device.ring()
    for _ in 0..<Int.random(in: 1...4, using: &random) { step() }
  }

  /// Waits for the end of everything under way.
  private func drain() {
    device.ring()
    var idle = 0
    while !jobs.isEmpty, violations.isEmpty {
      let before = (clock.now, jobs.count)
      step()
      idle = before == (clock.now, jobs.count) ? idle + 1 : 0
      if idle > 10_000 {
        violations.append("\(jobs.count) commands and no end, in state \(device.controller.state)")
      }
    }
  }

  /// Polls once, and lets time pass when that is all that can help.
  private func step() {
    device.poll(&completions, limit: 16)
    checkForPowerLoss()
    for completion in completions { finish(completion) }
    let isQuiet = completions.isEmpty
    completions.removeAll(keepingCapacity: true)
    guard isQuiet, device.prepareToSleep() else { return }
    let deadline = device.nextDeadline
    if deadline == .max {
      if !jobs.isEmpty {
        violations.append("\(jobs.count) commands that nothing would ever wake the caller for")
      }
    } else if deadline > clock.now {
      clock.now = deadline
    }
  }

  /// Learns what the device has found after a loss of power: what is read from now on may be older, or no discard.
  private func checkForPowerLoss() {
    guard device.controller.cacheLosses != powerLosses || (device.loss != nil) != hasLostCache else { return }
    powerLosses = device.controller.cacheLosses
    if device.loss == nil {
      ledger.undoDiscards()
    } else if !hasLostCache {
      hasLostCache = true
      ledger.cutPower()
    }
  }

  // MARK: Commands

  private func submit() {
    var operation: BlockCommand.Operation = .write
    switch UInt8.random(in: 0..<16, using: &random) {
    case 0..<7: operation = .write
    case 7..<12: operation = .read
    case 12..<14: operation = .flush
    case 14: operation = .discard
    default: operation = .writeZeroes
    }
    let count = Int.random(in: 1...Self.blocksPerCommand, using: &random)
    let block = UInt64.random(in: 0...UInt64(FaultRun.blocks - count), using: &random)
    submit(operation, block, count)
  }

  private func submit(_ operation: BlockCommand.Operation, _ block: UInt64, _ count: Int) {
    let range = operation == .flush ? block..<block : block..<block + UInt64(count)
    guard range.allSatisfy({ !busy.contains($0) }), freeFrames.count >= count else { return }
    let changes = operation != .read && operation != .flush
    nextVersion &+= 2
    var job = Job(
      operation: operation, block: block, count: range.isEmpty ? 0 : count,
      version: operation == .write ? nextVersion : 0,
      isDurable: !hasCache || (operation == .write && UInt8.random(in: 0..<5, using: &random) == 0),
      frames: .allocate(capacity: count), start: clock.now)
    let usesFrames = operation == .read || operation == .write
    for index in 0..<job.count where usesFrames { job.frames[index] = takeFrame(job, index) }
    let command = BlockCommand(
      operation, block: block, count: UInt32(job.count), frames: job.frames,
      forceUnitAccess: operation == .write && hasCache && job.isDurable, tag: nextTag)
    guard device.submit(command) else { return violations.append("a command was not taken") }
    for block in range {
      busy.insert(block)
      if changes { ledger.issue(job.version, to: block) }
    }
    if operation == .flush { job.mark = ledger.mark() }
    jobs[nextTag] = job
    nextTag += 1
    commands += 1
  }

  private func finish(_ completion: BlockCompletion) {
    guard let job = jobs.removeValue(forKey: completion.tag) else {
      return violations.append("a completion of no command, or the second one")
    }
    longest = max(longest, clock.now - job.start)
    if clock.now - job.start > Self.deadline {
      violations.append("a command took \(clock.now - job.start) ns")
    }
    let isDone = completion.errno == 0
    if !isDone { errors += 1 }
    switch job.operation {
    case .flush:
      if isDone, let mark = job.mark { ledger.flush(mark) }
    case .read:
      if isDone { verify(job) }
    case .write, .discard, .writeZeroes:
      for index in 0..<job.count where isDone {
        ledger.succeed(job.version, at: job.block + UInt64(index), isDurable: job.isDurable)
      }
    case .verify, .compare: break
    }
    if job.operation == .read || job.operation == .write {
      for index in 0..<job.count { giveFrame(job.frames[index]) }
    }
    for index in 0..<job.count { busy.remove(job.block + UInt64(index)) }
    job.frames.deallocate()
  }

  /// Within this a command has ended: each attempt is aborted after 30 s and given up after 5 more, each reset brings
  /// the controller up within its times four times over, and the rest waits in a queue behind others.
  private static let deadline = 7_200 * second

  /// Whatever was read must be what its blocks may hold.
  private func verify(_ job: Job) {
    for index in 0..<job.count {
      let block = job.block + UInt64(index)
      let frame = device.arena.pointer(job.frames[index])
      let versions = ledger.visible(block)
      guard let found = versions.first(where: { Stamp(block: block, version: $0).matches(frame) }) else {
        violations.append("block \(block) holds none of \(versions.count) versions it may hold")
        continue
      }
      if !hasLostCache { ledger.settle(block, found) }
    }
  }

  /// Reads every block.
  private func readAll() {
    var block = 0
    while block < FaultRun.blocks, device.controller.lostErrno == nil, violations.isEmpty {
      let count = min(Self.blocksPerCommand, FaultRun.blocks - block)
      submit(.read, UInt64(block), count)
      drain()
      block += count
    }
  }

  /// The medium itself must hold what its blocks may hold.
  private func checkContents() {
    for block in 0..<UInt64(FaultRun.blocks) {
      let bytes = contents.bytes(at: Int(block) * DMAArena.frameSize, count: DMAArena.frameSize)
      let isRight = bytes.withUnsafeBytes { bytes in
        ledger.visible(block).contains { version in
          bytes.baseAddress.map { Stamp(block: block, version: version).matches($0) } ?? false
        }
      }
      if !isRight { violations.append("the medium lost or mixed up block \(block)") }
    }
  }

  // MARK: Frames

  private static let poisonByte: UInt8 = 0xdb

  private func poison(_ frame: UInt32) {
    device.arena.pointer(frame).initializeMemory(
      as: UInt8.self, repeating: Self.poisonByte, count: DMAArena.frameSize)
  }

  /// Takes a frame that was not written to since it was given back, and fills it for a write.
  private func takeFrame(_ job: Job, _ index: Int) -> UInt32 {
    let frame = freeFrames.removeFirst()
    checkPoison(of: frame)
    if job.operation == .write {
      Stamp(block: job.block + UInt64(index), version: job.version).fill(device.arena.pointer(frame))
    }
    return frame
  }

  /// Gives a frame back; its contents are overwritten, so that a later read of it is noticed.
  private func giveFrame(_ frame: UInt32) {
    poison(frame)
    freeFrames.append(frame)
  }

  private func checkPoison(of frame: UInt32) {
    let words = device.arena.pointer(frame).assumingMemoryBound(to: UInt64.self)
    let expected = UInt64(Self.poisonByte) &* 0x0101_0101_0101_0101
    if (0..<Stamp.words).contains(where: { words[$0] != expected }) {
      violations.append("memory was written to after its command had ended")
    }
  }

  /// Looks at every frame once all are free.
  private func checkPoison() {
    let expected = Self.depth * Self.blocksPerCommand
    if freeFrames.count != expected { violations.append("\(expected - freeFrames.count) buffers were left") }
    for frame in freeFrames { checkPoison(of: frame) }
  }
}
