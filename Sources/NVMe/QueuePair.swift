import CMachine
import NVMeSpec
import PCI

/// A submission queue and its completion queue, and the commands under way in them.
///
/// `post` puts a command into the submission queue, `ring` tells the controller of all that were posted, `reap`
/// collects what the controller has completed. Nothing here allocates, and nothing the controller writes can make
/// it trap. Owned by one thread.
public struct QueuePair: ~Copyable {
  /// The queue identifier, the same for both queues; 0 is the admin queue pair.
  public var identifier: UInt16 { memory.identifier }
  /// How many commands can be under way at once.
  public var depth: Int { trackers.count }
  /// What happened in this queue pair.
  public internal(set) var counters = QueueCounters()
  /// The last commands that ended with an error, oldest first.
  public internal(set) var errors = ErrorLog()

  /// How long commands took.
  public var latency: LatencyHistogram { latencies.histogram }

  let memory: QueueMemory
  /// Which life of the controller the queue belongs to; see `Controller.generation`.
  var generation: UInt64 = 0
  var policy: RetryPolicy
  /// The list of commands to be submitted again, linked through their trackers, and when the first is due.
  var firstDelayed = Tracker.none
  var nextDue = UInt64.max
  /// When commands are next looked at for their age.
  var nextWatch: UInt64 = 0
  /// Commands at the controller.
  var inFlight = 0

  /// Records commands while somebody wants them.
  var tracer: CommandTracer?

  private let clock: () -> UInt64
  /// The time of the present poll, or of the first command posted since the last doorbell (ns, monotonic).
  @usableFromInline var now: UInt64 = 0
  var latencies = LatencyRecorder()
  /// Whether the controller has the queues: nothing is submitted while it has not.
  @usableFromInline var isOnline = true
  @usableFromInline var trackers: TrackerPool
  /// Entries of each queue.
  @usableFromInline let entries: UInt32

  // The submission queue. There is always a slot for a command that has a tracker: there is one more entry than
  // there are trackers, and a command that is under way holds at most one.
  @usableFromInline let submission: UnsafeMutablePointer<SubmissionEntry>
  @usableFromInline var tail: UInt32 = 0
  @usableFromInline var rungTail: UInt32 = 0
  let tailDoorbell: DoorbellRegister
  /// How far the controller has read the submission queue, as its last completion said.
  public internal(set) var submissionHead: UInt32 = 0

  // PRP list pages, the same number for each tracker.
  @usableFromInline let lists: UnsafeMutablePointer<UInt64>
  @usableFromInline let listsAddress: UInt64
  @usableFromInline let listEntries: Int

  // The completion queue.
  let completion: UnsafeMutableRawPointer
  var head: UInt32 = 0
  var phase: UInt16 = 1
  let headDoorbell: DoorbellRegister

  // Ends that have not been taken.
  let finished: UnsafeMutablePointer<FinishedCommand>
  let finishedCapacity: Int
  var finishedEnd: UnsafeMutablePointer<FinishedCommand>
  var finishedCount: Int { finishedEnd - finished }

  /// A queue pair over zeroed memory.
  init(
    memory: QueueMemory, registers: RegisterWindow, doorbellStride: UInt8, policy: RetryPolicy,
    clock: @escaping () -> UInt64
  ) {
    self.memory = memory
    self.clock = clock
    self.policy = policy
    trackers = TrackerPool(count: memory.entries - 1)
    entries = UInt32(memory.entries)
    submission = memory.submissionQueue.bindMemory(to: SubmissionEntry.self, capacity: memory.entries)
    completion = memory.completionQueue
    listsAddress = memory.listsAddress
    listEntries = memory.listPages * PageList.entriesPerPage
    lists = memory.lists.bindMemory(to: UInt64.self, capacity: max(trackers.count * listEntries, 1))
    // Room for as many ends as `reap` collects, and for all commands taken back from a controller that stopped.
    finishedCapacity = 2 * trackers.count
    finished = .allocate(capacity: finishedCapacity)
    finishedEnd = finished
    tailDoorbell = DoorbellRegister(
      registers: registers,
      offset: Doorbell.submissionTail(queue: memory.identifier, stride: doorbellStride))
    headDoorbell = DoorbellRegister(
      registers: registers,
      offset: Doorbell.completionHead(queue: memory.identifier, stride: doorbellStride))
  }

  deinit { finished.deallocate() }

  /// Learns the time, once for all commands that share a doorbell.
  @usableFromInline @inline(never)
  mutating func beginBatch() { now = clock() }

  /// Forgets all that the two queues hold: the controller has been disabled.
  mutating func rewind() {
    memory.clearQueues()
    tail = 0
    rungTail = 0
    head = 0
    phase = 1
    submissionHead = 0
    inFlight = 0
  }
}
