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
  /// The last commands that ended with an error, newest last.
  public internal(set) var errors = ErrorLog()

  let memory: QueueMemory
  /// The time of the present batch (ns, monotonic): of the last poll, or of the first command posted since the
  /// last doorbell.
  var now: UInt64 = 0
  /// Which life of the controller the queue belongs to; see `Controller.generation`.
  var generation: UInt64 = 0
  /// Whether the controller has the queues: nothing is submitted while it has not.
  var isOnline = true
  var policy: RetryPolicy
  var trackers: TrackerPool
  /// Commands at the controller, or in the submission queue.
  private(set) var inFlight = 0
  /// The list of commands to be submitted again, linked through their trackers, and when the first is due.
  var firstDelayed = Tracker.none
  var nextDue = UInt64.max
  /// When commands are next looked at for their age.
  var nextWatch: UInt64 = 0

  /// Byte offsets in a completion entry.
  private static let submissionHeadOffset = 8
  private static let commandIDOffset = 12

  private let submission: UnsafeMutablePointer<SubmissionEntry>
  private let completion: UnsafeMutableRawPointer
  private let lists: UnsafeMutablePointer<UInt64>
  private let listsAddress: UInt64
  private let listEntries: Int
  private let clock: () -> UInt64
  private let finished: UnsafeMutablePointer<FinishedCommand>
  private var finishedCount = 0
  private let tailDoorbell: DoorbellRegister
  private let headDoorbell: DoorbellRegister
  private let entries: UInt32
  private var tail: UInt32 = 0
  private var rungTail: UInt32 = 0
  private var head: UInt32 = 0
  private var phase: UInt16 = 1
  /// How far the controller has read the submission queue, as its last completion said.
  private(set) var submissionHead: UInt32 = 0

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
    finished = .allocate(capacity: trackers.count)
    tailDoorbell = DoorbellRegister(
      registers: registers,
      offset: Doorbell.submissionTail(queue: memory.identifier, stride: doorbellStride))
    headDoorbell = DoorbellRegister(
      registers: registers,
      offset: Doorbell.completionHead(queue: memory.identifier, stride: doorbellStride))
  }

  deinit { finished.deallocate() }

  // MARK: Submission

  /// Whether a command could be posted now.
  public var hasRoom: Bool { isOnline && !trackers.isExhausted }

  /// Whether commands were posted that the controller has not been told of.
  var hasUnrung: Bool { tail != rungTail }

  /// Puts a read or a write into the submission queue.
  /// - Parameters:
  ///   - opcode: Read or Write.
  ///   - namespace: the namespace identifier.
  ///   - lba: the first logical block.
  ///   - lbaCount: the number of logical blocks, 1...65,536.
  ///   - forceUnitAccess: the data is to be on the medium at completion (FUA).
  ///   - frames: the arena frames that hold the data, at least one, no more than the list pages have room for.
  ///   - count: how many frames.
  ///   - base: the address of the arena's frame 0 for the device.
  ///   - context: given back with the end.
  /// - Returns: false when there is no room.
  public mutating func postTransfer(
    _ opcode: IOOpcode, namespace: UInt32, lba: UInt64, lbaCount: UInt32, forceUnitAccess: Bool,
    frames: UnsafePointer<UInt32>, count: Int, base: UInt64, context: UInt64
  ) -> Bool {
    guard isOnline, let tracker = trackers.take() else { return false }
    let commandID = tracker.pointee.commandID
    let listOffset = TrackerPool.index(of: commandID) &* listEntries
    let pages = PageList.build(
      frames: frames, count: count, base: base, list: lists + listOffset,
      listAddress: listsAddress &+ UInt64(truncatingIfNeeded: listOffset &* PRP.entrySize))
    var command = SubmissionEntry(opcode, namespace: namespace, block: lba, count: lbaCount)
    command.commandIdentifier = commandID
    command.forceUnitAccess = forceUnitAccess
    command.prp1 = pages.first
    command.prp2 = pages.second
    tracker.pointee.command = command
    tracker.pointee.context = context
    counters.submitted &+= 1
    enqueue(tracker, command)
    return true
  }

  /// Puts any other command into the submission queue; its command identifier is filled in.
  /// - Returns: the command's identifier, or nil when there is no room.
  @discardableResult
  public mutating func post(_ command: SubmissionEntry, context: UInt64) -> UInt16? {
    guard isOnline, let tracker = trackers.take() else { return nil }
    return post(command, tracker, context: context)
  }

  /// Puts a command whose data are the leading bytes of an arena into the submission queue.
  /// - Parameters:
  ///   - command: the command; its data pointer is filled in where there is data.
  ///   - count: how many bytes of data; no more than fit the list pages.
  /// - Returns: false when there is no room.
  mutating func post(
    _ command: SubmissionEntry, leading count: Int, of arena: DMAArena, context: UInt64
  ) -> Bool {
    guard isOnline, let tracker = trackers.take() else { return false }
    var command = command
    let frames = (0..<UInt32((count + DMAArena.frameSize - 1) / DMAArena.frameSize)).map { $0 }
    if !frames.isEmpty {
      let listOffset = TrackerPool.index(of: tracker.pointee.commandID) &* listEntries
      let pages = PageList.build(
        frames: frames, count: frames.count, base: arena.iova, list: lists + listOffset,
        listAddress: listsAddress &+ UInt64(truncatingIfNeeded: listOffset &* PRP.entrySize))
      command.prp1 = pages.first
      command.prp2 = pages.second
    }
    post(command, tracker, context: context)
    return true
  }

  /// Puts a Dataset Management command that deallocates `ranges` into the submission queue.
  /// - Parameter ranges: 1...256 ranges; copied.
  /// - Returns: false when there is no room.
  public mutating func postDeallocate(
    namespace: UInt32, ranges: UnsafeBufferPointer<DatasetManagementRange>, context: UInt64
  ) -> Bool {
    guard isOnline, !ranges.isEmpty, let tracker = trackers.take() else { return false }
    let listOffset = TrackerPool.index(of: tracker.pointee.commandID) &* listEntries
    // The ranges go where the command's PRP list would: 256 of them are one page. Some devices fetch the whole
    // page whatever the number of ranges.
    let page = UnsafeMutableRawBufferPointer(start: lists + listOffset, count: DMAArena.frameSize)
    page.copyMemory(from: UnsafeRawBufferPointer(ranges))
    var command = SubmissionEntry(deallocate: ranges.count, namespace: namespace)
    command.prp1 = listsAddress &+ UInt64(truncatingIfNeeded: listOffset &* PRP.entrySize)
    post(command, tracker, context: context)
    return true
  }

  @discardableResult
  private mutating func post(
    _ command: SubmissionEntry, _ tracker: UnsafeMutablePointer<Tracker>, context: UInt64
  ) -> UInt16 {
    var command = command
    command.commandIdentifier = tracker.pointee.commandID
    tracker.pointee.command = command
    tracker.pointee.context = context
    counters.submitted &+= 1
    enqueue(tracker, command)
    return command.commandIdentifier
  }

  /// There is always a slot: there is one more entry than there are trackers, and a command that is under way
  /// holds at most one.
  @inline(__always)
  mutating func enqueue(_ tracker: UnsafeMutablePointer<Tracker>, _ command: SubmissionEntry) {
    if tail == rungTail { now = clock() }
    tracker.pointee.time = now
    submission[Int(tail)] = command
    tail &+= 1
    if tail == entries { tail = 0 }
    inFlight &+= 1
  }

  /// Tells the controller of all posted commands with one doorbell.
  public mutating func ring() {
    guard tail != rungTail else { return }
    counters.submissionDoorbells &+= 1
    rungTail = tail
    tailDoorbell.ring(tail)
  }

  // MARK: Completion

  /// Collects what the controller has completed, at most `limit` completions, and frees their entries with one
  /// doorbell. The ends are in `takeFinished()`; commands to be tried again are not among them.
  public mutating func reap(limit: Int) {
    var reaped = 0
    while reaped < limit {
      let entry = completion + Int(head) &* MemoryLayout<CompletionEntry>.stride
      let statusAndPhase = cm_load16(entry + CompletionEntry.phaseOffset)
      guard statusAndPhase & 1 == phase else { break }
      // The rest of the entry may only be read once its phase was seen.
      cm_acquire_fence()
      complete(entry, status: Status(rawValue: statusAndPhase &>> 1))
      reaped &+= 1
      head &+= 1
      if head == entries {
        head = 0
        phase ^= 1
      }
    }
    if reaped > 0 { release() }
  }

  /// Whether a completion waits to be reaped.
  public var hasCompletion: Bool {
    let entry = completion + Int(head) &* MemoryLayout<CompletionEntry>.stride
    return cm_load16(entry + CompletionEntry.phaseOffset) & 1 == phase
  }

  /// The ends reported since the last call; valid until the next call of a mutating method.
  @inline(__always)
  public mutating func takeFinished() -> UnsafeBufferPointer<FinishedCommand> {
    let ends = UnsafeBufferPointer(start: finished, count: finishedCount)
    counters.completed &+= UInt64(truncatingIfNeeded: finishedCount)
    finishedCount = 0
    return ends
  }

  @inline(__always)
  private mutating func complete(_ entry: UnsafeMutableRawPointer, status: Status) {
    guard let tracker = trackers.inFlight(cm_load16(entry + Self.commandIDOffset)) else {
      counters.badCommandIDs &+= 1
      return
    }
    inFlight &-= 1
    let result = cm_load32(entry)
    if status.isSuccess {
      finish(tracker, .succeeded, status: status, result: result)
    } else {
      completeWithError(tracker, status: status, result: result)
    }
  }

  /// Frees the completion entries before `head`, and takes note of how far the submission queue was read.
  private mutating func release() {
    let last = completion + Int(head == 0 ? entries &- 1 : head &- 1) &* MemoryLayout<CompletionEntry>.stride
    let read = UInt32(cm_load16(last + Self.submissionHeadOffset))
    if read < entries { submissionHead = read } else { counters.badQueueHeads &+= 1 }
    counters.completionDoorbells &+= 1
    headDoorbell.ring(head)
  }

  /// Reports the end of a command and frees its tracker.
  @inline(__always)
  mutating func finish(
    _ tracker: UnsafeMutablePointer<Tracker>, _ end: CommandEnd, status: Status, result: UInt32
  ) {
    let context = tracker.pointee.context
    (finished + finishedCount).initialize(
      to: FinishedCommand(context: context, result: result, status: status, end: end))
    finishedCount &+= 1
    trackers.give(tracker)
  }

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
