import CMachine
import NVMeSpec
import PCI

/// A submission queue and its completion queue, and the commands in flight in them.
///
/// `post` puts a command into the submission queue, `ring` stores the doorbell for all posted commands,
/// `reap` collects completions. Nothing here allocates, and nothing the controller writes can make it trap.
/// Owned by one thread.
public struct QueuePair: ~Copyable {
  /// The queue identifier, the same for both queues; 0 is the admin queue pair.
  public var identifier: UInt16 { memory.identifier }
  /// How many commands can be in flight at once.
  public var depth: Int { trackers.count }
  /// How many commands have not ended, including those that wait for a retry. Counts them, so it is too slow
  /// to call for every command.
  public var underWay: Int { trackers.inUse }
  /// What happened in this queue pair.
  public var counters: QueueCounters {
    var counters = counts
    counters.submitted &+= rungTail
    return counters
  }
  /// The counters without the commands rung since the queue pair was last rewound.
  @usableFromInline var counts = QueueCounters()
  /// The last commands that ended with an error, oldest first.
  public internal(set) var errors = CommandErrorLog()

  /// How long commands took.
  public var latency: LatencyHistogram { latencies.histogram }

  let memory: QueueMemory
  /// The controller's generation that the queue belongs to; see `Controller.generation`.
  var generation: UInt64 = 0 {
    didSet { updateFastPath() }
  }
  /// The generation while the fast path can be used, otherwise a value that `Controller.fastPathGeneration`
  /// never has.
  @usableFromInline private(set) var fastPathGeneration = QueuePair.noFastPath - 1
  /// No generation.
  static let noFastPath = UInt64.max
  /// `Controller.cacheLosses` when the queue was last online.
  var cacheLosses: UInt64 = 0
  var policy: RetryPolicy
  /// The list of commands to be submitted again, linked through their trackers, and when the first is due.
  var firstDelayed = Tracker.none
  var nextDue = UInt64.max
  /// When the age of commands is checked next.
  var nextWatch: UInt64 = 0
  /// Until when polls may take the fast path, by the clock's counter.
  @usableFromInline var fastPathEnd: UInt64 = 0
  /// How many of the rung commands have ended.
  @usableFromInline var reaped: UInt64 = 0
  /// Commands at the controller.
  var inFlight: Int { Int(truncatingIfNeeded: rungTail &- reaped) }

  /// Records commands while tracing is on.
  var tracer: CommandTracer? {
    didSet { updateFastPath() }
  }

  /// The one source of all its times.
  @usableFromInline var clock: Clock
  /// The time of the present poll, or of the first command posted since the last doorbell (ns, monotonic).
  @usableFromInline var now: UInt64 = 0
  @usableFromInline var latencies = LatencyRecorder()
  /// Whether the controller has the queues: nothing is submitted before.
  @usableFromInline var isOnline = true {
    didSet { updateFastPath() }
  }
  @usableFromInline var trackers: TrackerPool
  /// Entries of each queue, a power of two, so that a mask takes a count to an index.
  var entries: UInt32 { indexMask &+ 1 }
  @usableFromInline let indexMask: UInt32

  // The submission queue, which may lie in a BAR: it is written and, except for a trace, never read. There is
  // always an entry for a command that has a tracker: there is one entry more than trackers, and a command in
  // flight takes at most one.
  @usableFromInline let submission: UnsafeMutablePointer<SubmissionEntry>
  /// Whether it lies in the controller's memory buffer.
  let isBuffered: Bool
  /// How many commands were put into it, and how many of them were rung.
  @usableFromInline var tail: UInt64 = 0
  @usableFromInline var rungTail: UInt64 = 0
  @usableFromInline var tailDoorbell: DoorbellRegister
  /// How far the controller has read the submission queue, as its last completion said.
  @usableFromInline var submissionHead: UInt32 = 0

  /// Protection information of commands to a namespace with metadata.
  let protection: CommandProtection?
  /// How commands describe their data; SGLs only where the controller supports them.
  let dataPointers: DataPointers

  // PRP list pages, the same number for each tracker.
  @usableFromInline let lists: UnsafeMutablePointer<UInt64>
  @usableFromInline let listsAddress: UInt64
  @usableFromInline let listEntries: Int

  // The completion queue.
  @usableFromInline let completion: UnsafeMutableRawPointer
  @usableFromInline let end: UnsafeMutableRawPointer
  /// The entry the controller fills next.
  @usableFromInline var next: UnsafeMutableRawPointer
  /// The phase tag of a new entry at `next`, at its place in the entry's last word.
  @usableFromInline var expectedPhase: UInt32 = 1 << 16
  @usableFromInline var headDoorbell: DoorbellRegister

  // Ended commands that the caller has not taken.
  @usableFromInline let finished: UnsafeMutablePointer<FinishedCommand>
  let finishedCapacity: Int
  @usableFromInline var finishedCount = 0

  /// A queue pair over zeroed memory.
  init(
    memory: QueueMemory, registers: RegisterWindow, doorbellStride: UInt8, policy: RetryPolicy,
    time: TimeSource, dataPointers: DataPointers = .prp, protection: NamespaceProtection? = nil
  ) {
    self.memory = memory
    clock = Clock(time)
    self.dataPointers = dataPointers
    self.protection = protection.map { CommandProtection($0, memory: memory) }
    self.policy = policy
    trackers = TrackerPool(count: memory.entries - 1)
    indexMask = UInt32(truncatingIfNeeded: memory.entries &- 1)
    submission = memory.submissionQueue.bindMemory(to: SubmissionEntry.self, capacity: memory.entries)
    isBuffered = memory.buffered != nil
    completion = memory.completionQueue
    end = completion + memory.entries * CompletionEntry.size
    next = completion
    listsAddress = memory.listsAddress
    listEntries = memory.listPages * PRPList.entriesPerPage
    lists = memory.lists.bindMemory(to: UInt64.self, capacity: max(trackers.count * listEntries, 1))
    // Room for as many ended commands as `reap` collects, and for all commands taken back from a controller
    // that has stopped.
    finishedCapacity = 2 * trackers.count
    finished = .allocate(capacity: finishedCapacity)
    tailDoorbell = DoorbellRegister(
      registers: registers,
      offset: Doorbell.submissionTail(queue: memory.identifier, stride: doorbellStride))
    headDoorbell = DoorbellRegister(
      registers: registers,
      offset: Doorbell.completionHead(queue: memory.identifier, stride: doorbellStride))
  }

  deinit { finished.deallocate() }

  /// The index of the submission queue's entry that a command goes into, or went into.
  @inlinable @inline(__always)
  func index(_ position: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: position) & indexMask }

  /// Reads the clock, once for all commands that share a doorbell and once for each poll.
  @inlinable @inline(__always)
  mutating func readClock() { now = clock.read() }

  /// To be called after a change of any condition of the fast path.
  mutating func updateFastPath() {
    let hasFastPath =
      isOnline && tracer == nil && protection == nil && !isBuffered && tailDoorbell.directAddress != nil
      && headDoorbell.directAddress != nil
    fastPathGeneration = hasFastPath ? generation : Self.noFastPath - 1
  }

  /// Empties both queues, as the controller has been disabled.
  mutating func rewind() {
    memory.clearQueues()
    counts.submitted &+= rungTail
    tail = 0
    rungTail = 0
    next = completion
    expectedPhase = 1 << 16
    submissionHead = 0
    reaped = 0
  }
}
