import CMachine
import Glibc
import NVMeSpec
import PCI

/// The model of an NVMe controller behind the function: what its registers, queues and commands do.
///
/// It belongs to the thread that calls it. Every entry from outside is one call of a mutating method, and
/// nothing calls back out, so that no state is ever seen half-changed. What may block is given to `workers`.
struct ControllerModel: ~Copyable {
  var configuration: EmulatedController.Configuration
  /// Whether time is the monotonic clock and blocking work goes to threads.
  let isInService: Bool
  /// Whether events are recorded.
  let records: Bool
  /// The most data of one command in bytes.
  let maximumBytes: Int
  /// Doorbells are `1 << shift` bytes apart.
  let doorbellShift: Int

  var iommu = IOMMU()
  var interrupts: InterruptTable
  var registers: RegisterFile
  var queues: QueueTable
  var namespaces: NamespaceTable
  var features: FeatureTable
  var events = AsynchronousEvents()
  var errorLog = ErrorLog()
  /// What the log of changed namespaces tells.
  var changedNamespaces = ChangedNamespaceLog()
  /// The SMART log's critical warning, but for what the temperature adds.
  var criticalWarning: UInt8 = 0
  /// The composite temperature in kelvin.
  var temperature: UInt16 = 300
  /// What the SMART log has counted up to the beginning of this process, and whether power may go.
  var lifetime = LifetimeCounters()
  /// When the controller was made, in monotonic ns.
  var start: UInt64 = 0
  var statistics = Statistics()
  var faults = FaultInjector()
  var timing: TimingModel
  var deferred: DeferredCommands
  var pieces: PieceList
  let scratch: UnsafeMutableRawBufferPointer
  var recorder: Recorder?
  var workers: WorkerPool?
  /// Doorbells that another process stores to, where there are such.
  var sharedDoorbells: SharedDoorbells?
  /// The eventfd that tells of a thread's result when the host does not call `service` itself; -1 otherwise.
  var workDescriptor: Int32 = -1

  /// The eventfd that tells of the function's removal; -1 when the system had none to give.
  let removal: Int32

  /// The controller's own memory that the host may put submission queues into.
  var memoryBuffer: ControllerMemoryBuffer
  /// The pages of memory that the host has lent.
  var lentMemory: [UInt64] = []
  /// What Get Features tells of that memory.
  var hostMemory = HostMemoryAttributes()
  /// Where the doorbells' shadows lie, once the host has said so.
  var shadows: ShadowDoorbells?
  /// Whether the host calls `service` before it waits, so that no doorbell is needed.
  var isPolled = true
  /// Whether commands are fetched: ready, and neither fatal, shut down nor gone.
  var isRunning = false
  /// Whether the function is gone.
  var isRemoved = false
  /// When the link that is down comes back (ns), and whether it has been reset then; nil while it is up.
  var linkReturn: (due: UInt64, resets: Bool)?
  /// Whether the function's configuration has yet to be as after a reset.
  var linkWasReset = false
  /// Whether the BARs hold no address, as after a reset of the link, so that no access reaches the registers.
  var barsAreReset = false
  /// Whether the host reaches nothing.
  var isUnreachable: Bool { isRemoved || linkReturn != nil }
  /// Whether a fault rule, the timing model or the recorder has to see commands before they are carried out.
  var isObserved = false
  /// Whether making data durable has failed: the system may have dropped what it could not write, so that no
  /// later success would mean anything.
  var cannotSynchronize = false
  /// A memory page of the host is `1 << pageShift` bytes.
  var pageShift = 12
  /// The time, in monotonic ns, as last known.
  var now: UInt64 = 0

  init(_ configuration: EmulatedController.Configuration) throws(FunctionError) {
    self.configuration = configuration
    criticalWarning = configuration.criticalWarning
    isInService = configuration.mode == .inService
    records = configuration.records
    maximumBytes = configuration.maximumTransfer == 0 ? .max : 4096 << Int(configuration.maximumTransfer)
    doorbellShift = 2 + Int(configuration.doorbellStride)
    interrupts = InterruptTable(vectors: configuration.queuePairs + 1)
    registers = RegisterFile(configuration)
    memoryBuffer = ControllerMemoryBuffer(bytes: configuration.memoryBuffer)
    queues = QueueTable(ioPairs: configuration.queuePairs)
    deferred = DeferredCommands(queues: queues.count)
    timing = TimingModel(configuration)
    features = FeatureTable(configuration)
    pieces = PieceList(capacity: min(maximumBytes, 1 << 24) / 4096 + 2)
    scratch = .allocate(byteCount: 1 << 16, alignment: 4096)
    removal = cm_eventfd()
    do throws(FunctionError) {
      namespaces = try NamespaceTable(configuration.namespaces)
    } catch {
      scratch.deallocate()
      memoryBuffer.deallocate()
      if removal >= 0 { close(removal) }
      throw error
    }
    loadCounters()
    if records { restartRecorder() }
    updateObservation()
  }

  deinit {
    scratch.deallocate()
    memoryBuffer.deallocate()
    sharedDoorbells?.deallocate()
    if removal >= 0 { close(removal) }
  }

  /// To be called after a change of rules.
  mutating func updateObservation() { isObserved = faults.isArmed || timing.isActive || records }

  /// Learns the time where it is the monotonic clock.
  mutating func readClock() {
    if isInService { now = max(now, cm_monotonic_ns()) }
  }

  /// Whether commands wait for a time or a thread.
  var awaitsService: Bool { deferred.nextDue != .max || workers?.isBusy == true }

  /// Does what is due at a time.
  /// - Returns: when to be called next.
  mutating func service(now time: UInt64) -> UInt64 {
    now = max(now, time)
    if let linkReturn {
      guard now >= linkReturn.due else { return linkReturn.due }
      restoreLink()
    }
    guard isRunning else { return .max }
    if shadows != nil { followShadows() }
    collectResults()
    while let command = deferred.takeDue(now: now) { carryOut(command) }
    raiseInterrupts()
    // A queue without interrupts has only the caller's timer to tell of a thread's result.
    let poll: UInt64 = workers?.isBusy == true && !interrupts.isEnabled ? now.saturatingAdd(50_000) : .max
    return min(deferred.nextDue, poll)
  }
}
