import FileProtocol
import Format

/// A log-structured filesystem as a state machine: requests, completions and time in, device commands and
/// replies out.
///
/// It performs no I/O, has no clock and no locks, and belongs to one thread. An operation runs over cached
/// blocks; one that misses stops before it has changed anything, and is run again from its beginning once the
/// missing blocks have been read.
///
/// This class is the conductor: it creates the owners, dispatches each event to the owner it concerns, and
/// runs the background jobs in turn. All other state belongs to the owners; the module's article lists them
/// and says which may call which.
public final class FileSystem: FileService {
  public let requests: UnsafeMutablePointer<Request>
  public let replies: UnsafeMutablePointer<Reply>
  public let effects = Effects()

  let event = Event()
  let condition: Condition
  let volume: Volume
  let cache: Cache
  let waiting: Waiting
  let slots: RequestSlots
  let errors: Errors
  let segments = SegmentTable()
  let writes: LogWrites
  let loader: Loader
  let nodes: NodeStore
  let states = InodeStates()
  let uncommitted: Uncommitted
  let map: FileMap
  let pages: Pages
  let directories: Directories
  let free: FreeQueue
  let log: Log
  let space: Space
  let checkpoint: CheckpointWriter
  let cleaner: Cleaner
  let freeing: Freeing
  let paths: PathFinder
  let mountReads: MountReads
  let recovery: Recovery
  let reads: SlotReads
  let operations: Operations
  let options: Options

  /// Requests used up the last event's share of work, so the jobs go first in this one.
  private var isJobsTurn = false
  /// The job whose turn it is, by its place in `jobs`.
  private var nextJob = 0

  /// A filesystem on a device of `blockCount` 4 KiB blocks. Mounting begins with the first `advance`.
  public init(
    memory: WorkingMemory, blockCount: UInt64, hasVolatileCache: Bool, canDiscard: Bool,
    options: Options = Options()
  ) {
    self.options = options
    volume = Volume(blockCount: blockCount, hasVolatileCache: hasVolatileCache, canDiscard: canDiscard)
    condition = Condition(isReadOnly: options.readOnly)
    cache = Cache(memory: memory)
    waiting = Waiting(
      cache: cache, event: event, condition: condition, trace: effects.trace, missSeed: options.missSeed)
    slots = RequestSlots(cache: cache, waiting: waiting, effects: effects)
    errors = Errors(cache: cache, event: event, effects: effects, condition: condition, volume: volume)
    writes = LogWrites(cache: cache, effects: effects)
    loader = Loader(
      cache: cache, event: event, waiting: waiting, effects: effects, volume: volume, errors: errors,
      requests: slots, writes: writes)
    let nodeLog = NodeLog(
      cache: cache, event: event, volume: volume, errors: errors, segments: segments, writes: writes)
    nodes = NodeStore(
      cache: cache, event: event, waiting: waiting, volume: volume, errors: errors, segments: segments,
      loader: loader, log: nodeLog)
    uncommitted = Uncommitted(states: states, event: event)
    map = FileMap(nodes: nodes)
    pages = Pages(map: map, states: states, uncommitted: uncommitted)
    directories = Directories(nodes: nodes)
    let attributes = ExtendedAttributes(directories: directories)
    free = FreeQueue(condition: condition)
    let contents = FileContents(pages: pages, directories: directories, free: free, condition: condition)
    let changes = Changes(contents: contents, directories: directories, attributes: attributes, free: free)
    log = Log(pages: pages, requests: slots, writes: writes, condition: condition, options: options)
    space = Space(log: log, free: free)
    checkpoint = CheckpointWriter(space: space, log: log, effects: effects)
    cleaner = Cleaner(checkpoint: checkpoint, space: space, pages: pages, free: free, effects: effects)
    freeing = Freeing(contents: contents, attributes: attributes, space: space, condition: condition)
    paths = PathFinder(directories: directories, states: states)
    mountReads = MountReads(cache: cache, effects: effects, condition: condition, volume: volume)
    recovery = Recovery(
      reads: mountReads,
      replay: Replay(changes: changes, contents: contents, freeing: freeing, log: log),
      checkpoint: checkpoint, cleaner: cleaner, free: free, pages: pages)
    reads = SlotReads(pages: pages, slots: slots, effects: effects)
    operations = Operations(
      slots: slots, changes: changes, contents: contents, attributes: attributes, space: space, log: log,
      reads: reads, recovery: recovery)
    requests = slots.requests
    replies = slots.replies
    errors.onFailure = { [unowned self] reason in endWriting(reason) }
    segments.onContradiction = { [errors] what in errors.contradiction(what) }
    // `Errors` refers to the cache.
    cache.onContradiction = { [unowned errors] what in errors.contradiction(what) }
  }

  // MARK: Events

  public var now: Instant {
    get { event.now }
    set { event.now = newValue }
  }

  public func begin(slot: Int) {
    event.begin()
    operations.begin(slot)
    operations.runRunnable()
    endEvent()
  }

  public func complete(tag: UInt64, errno: Int32) {
    event.begin()
    effects.trace.actor = TracedEvent.noActor
    let tag = Tag(raw: tag)
    switch tag.kind {
    case .load: loaded(FrameIndex(truncatingIfNeeded: tag.value), errno)
    case .read: reads.ended(tag, errno)
    case .logWrite: logWriteEnded(Int(tag.value), errno)
    case .flush: log.flushEnded(errno)
    case .checkpoint: checkpoint.writeEnded(at: tag.value, errno)
    case .discard: checkpoint.discardEnded(UInt32(truncatingIfNeeded: tag.value))
    case .cleanerRead: cleaner.readEnded(FrameIndex(truncatingIfNeeded: tag.value), errno)
    case .mount: mountReads.ended(Int(tag.value), errno)
    case .errorRecord: errors.recordWritten()
    case .unknown: break
    }
    operations.runRunnable()
    endEvent()
  }

  private func endEvent() {
    event.end()
    errors.endEvent()
  }

  /// The read of a block into the cache has ended, with or without an error: a good block is handed to its
  /// owner.
  private func loaded(_ frame: FrameIndex, _ code: Int32) {
    if loader.arrived(frame, code) {
      let key = cache[frame].key
      switch key.kind {
      case .data: pages.adopt(frame)
      case .inodeTable, .internalTable: if key.level == 0 { nodes.clearMarks(cache.page(frame)) }
      default: break
      }
    }
    loader.wake(frame)
  }

  private func logWriteEnded(_ index: Int, _ code: Int32) {
    writes.end(index, code)
    switch writes[index].head {
    case .foreground: log.writeEnded(index, code)
    case .nodes: nodes.log.writeEnded(index, code)
    case .cleaner: cleaner.writeEnded(index, code)
    }
    waiting.wakeStalled()
  }

  public func forget(node: UInt64, count: UInt64) {
    guard let state = states.find(NodeID(raw: node).number),
      states[state].id.generation == NodeID(raw: node).generation
    else { return }
    if states.forget(state, count) { freeing.lastLookupGone(state) }
  }

  public var knownNodes: Int { states.known }

  public func takeOldNodes(_ nodes: UnsafeMutableBufferPointer<UInt64>) -> Int { states.takeOld(nodes) }

  public func advance() -> UInt64 {
    event.begin()
    guard condition.failure == nil, condition.isReady else {
      if condition.isStopping { condition.setStopped(isQuiet) }
      return condition.failure == nil && !condition.isStopping ? advanceMount() : .max
    }
    defer { endEvent() }
    waiting.wakeIfAsked()
    waiting.continueRequests()
    if !isJobsTurn { operations.runRunnable() }
    isJobsTurn = event.isSpent
    guard !event.isSpent else { return 0 }
    effects.trace.actor = waiting.actor(of: .commit)
    let isBusy = log.writeBorrowed()
    errors.writeRecord()
    let next = advanceJobs()
    // A request that runs now may give work to a job that has already run.
    let isLate = waiting.hasRunnable
    operations.runRunnable()
    let goesOn = waiting.needsWake || waiting.hasContinuing || waiting.hasRunnable
    return goesOn || isBusy || isLate ? 0 : next
  }

  public var wantsAdvance: Bool { waiting.hasContinuing || log.wantsToWriteBorrowed }

  private func advanceMount() -> UInt64 {
    effects.trace.actor = waiting.actor(of: .mount)
    let next = recovery.advance()
    if next != 0, condition.failure == nil, !condition.isReady, !mountReads.isPending, isQuiet {
      recovery.failForWantOfMemory()
    }
    return next
  }

  // MARK: Jobs

  /// Rounds of all jobs in one event, at most; each step is short.
  private static let roundsPerEvent = 4
  /// The background jobs in the order in which they run. The checkpoint is last, because each of the others
  /// may ask for one.
  private static let jobs: [Job] = [.commit, .freeing, .cleaner, .paths, .checkpoint]

  /// Does background work that is due.
  /// - Returns: when to be called again.
  private func advanceJobs() -> UInt64 {
    if log.commitDeadline <= event.now.monotonic { log.startCommit(isDurable: true) }
    if condition.isStopping { return advanceStop() }
    var isBusy = false
    for _ in 0..<Self.roundsPerEvent {
      // A round begun in the previous event says nothing about the jobs that ran in that event.
      isBusy = nextJob > 0
      while nextJob < Self.jobs.count {
        guard !event.isSpent else { return 0 }
        nextJob += 1
        if step(Self.jobs[nextJob - 1]) { isBusy = true }
      }
      nextJob = 0
      guard isBusy else { break }
    }
    if isBusy { return 0 }
    // A read-only filesystem has no commit or checkpoint that could become due.
    return condition.isReadOnly ? .max : min(log.commitDeadline, checkpoint.deadline)
  }

  /// Does a step of a job.
  /// - Returns: false when there is nothing to do, or it waits.
  private func step(_ job: Job) -> Bool {
    guard effects.trace.isOn else { return perform(job) }
    effects.trace.actor = waiting.actor(of: job)
    var event = TracedEvent(.step)
    event.offset = effects.trace.time
    let isBusy = perform(job)
    if isBusy { effects.trace.record(event, of: waiting.actor(of: job)) }
    return isBusy
  }

  private func perform(_ job: Job) -> Bool {
    switch job {
    case .mount: return false
    case .commit: return log.commitStep()
    case .freeing:
      let isBusy = freeing.step()
      return freeNumbers() || isBusy
    case .cleaner: return cleaner.step()
    case .paths: return paths.step()
    case .checkpoint:
      let isBusy = checkpoint.releaseStep()
      return checkpoint.step() || isBusy
    }
  }

  /// Numbers are not freed between a checkpoint's cut and the end of writing its tables: the tables are
  /// written
  /// as of the cut.
  private func freeNumbers() -> Bool {
    switch checkpoint.phase {
    case .nodes, .tables: false
    default: freeing.freeNumbersStep()
    }
  }

  // MARK: The end

  public func stop() {
    condition.beginStop()
    // A mount under way is abandoned: it has changed nothing in the log.
    if !condition.isReady || condition.failure != nil { condition.setStopped(isQuiet) }
  }

  /// Writes everything, and a last checkpoint marked clean: no log follows it.
  private func advanceStop() -> UInt64 {
    paths.endAll()
    errors.writeRecord()
    if condition.isReadOnly {
      condition.setStopped(isQuiet)
      return .max
    }
    var isBusy = true
    var steps = 0
    while isBusy, steps < Self.roundsPerEvent, !event.isSpent {
      isBusy = checkpoint.step()
      if checkpoint.phase == .idle, !isBusy { isBusy = checkpoint.beginLast() }
      steps += 1
    }
    condition.setStopped(checkpoint.isDone && isQuiet)
    return isBusy ? 0 : .max
  }

  /// Whether no device command is under way: a command under way may still use this filesystem's memory.
  private var isQuiet: Bool {
    writes.inFlight == 0 && !log.isFlushing && checkpoint.writesInFlight == 0 && segments.discarding == 0
      && !cleaner.isReading && !waiting.isReading && errors.isWritten && !mountReads.isPending
      && !reads.isReading
  }

  /// Ends all writing after an error: what was synced is on the device, later changes are lost.
  private func endWriting(_ reason: String) {
    checkpoint.giveUp()
    log.giveUp()
    waiting.wakeStalled()
    guard !condition.isReady else { return }
    // A read-only mount that was becoming writable stays read-only.
    if condition.isBecomingWritable { recovery.becomeReady() } else { condition.refuse(reason) }
  }
}
