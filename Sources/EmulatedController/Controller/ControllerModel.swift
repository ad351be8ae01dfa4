import CMachine
import Glibc
import NVMeSpec
import PCI
import SystemFiles

/// The model of an NVMe controller behind the function: registers, queues and commands.
///
/// The caller's thread owns it. Every entry from outside is one call of a mutating method, and nothing calls
/// back out, so that no caller sees state half-changed. What may block goes to `workers`.
struct ControllerModel: ~Copyable {
  var configuration: EmulatedController.Configuration
  /// Whether time is the monotonic clock and blocking work goes to worker threads.
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
  /// The contents of the Changed Namespace List log.
  var changedNamespaces = ChangedNamespaceLog()
  /// The SMART log's critical warning, without the bit for the temperature.
  var criticalWarning: UInt8 = 0
  /// The composite temperature in kelvin.
  var temperature: UInt16 = 300
  /// The SMART log's counters as of the start of this process, and whether the last shutdown was clean.
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
  /// Where worker threads may run.
  let processors = ProcessorSet.ofThisThread
  /// Doorbells that another process stores to, where there are such.
  var sharedDoorbells: SharedDoorbells?
  /// The eventfd that signals a worker thread's result where the host does not call `service` itself; -1
  /// otherwise.
  var workDescriptor: Int32 = -1

  /// The eventfd that signals the function's removal; -1 when it could not be made.
  let removal: Int32

  /// The controller's own memory that the host may put submission queues into.
  var memoryBuffer: ControllerMemoryBuffer
  /// The pages of memory that the host has lent.
  var lentMemory: [UInt64] = []
  /// The attributes of that memory in Get Features.
  var hostMemory = HostMemoryAttributes()
  /// Where the shadow doorbells lie, once the host has configured them.
  var shadows: ShadowDoorbells?
  /// Whether the host calls `service` before it sleeps, so that it need not store to doorbells.
  var isPolled = true
  /// Whether commands are fetched: the controller is ready, and neither failed (CFS), shut down nor removed.
  var isRunning = false
  /// Whether the function was removed.
  var isRemoved = false
  /// When the link that is down comes back (ns), and whether it has been reset then; nil while it is up.
  var linkReturn: (due: UInt64, resets: Bool)?
  /// Whether the configuration space has still to be reset after a reset of the link.
  var linkWasReset = false
  /// Whether the BARs hold no address, as after a reset of the link, so that no access reaches the registers.
  var barsAreReset = false
  /// Whether no access of the host arrives.
  var isUnreachable: Bool { isRemoved || linkReturn != nil }
  /// Whether commands pass through the fault rules, the timing model or the recorder before they are carried
  /// out.
  var isObserved = false
  /// Whether making data durable has failed: the kernel may have dropped the pages it could not write, so
  /// that a later success would prove nothing.
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

  /// To be called after the fault rules change.
  mutating func updateObservation() { isObserved = faults.isArmed || timing.isActive || records }

  /// Reads the clock, in service.
  mutating func readClock() {
    if isInService { now = max(now, cm_monotonic_ns()) }
  }

  /// Whether commands wait for their due time or a worker thread.
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
    // Without interrupts only the caller's timer leads to the results of the worker threads.
    let poll: UInt64 = workers?.isBusy == true && !interrupts.isEnabled ? now.saturatingAdd(50_000) : .max
    return min(deferred.nextDue, poll)
  }
}
