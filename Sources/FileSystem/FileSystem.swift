import FileProtocol
import Format

/// A log-structured filesystem as a state machine: requests, completions and time in, device commands and
/// replies out.
///
/// It performs no I/O, has no clock and no locks, and belongs to one thread. Operations run over cached
/// nodes; one that misses gives up before it changed anything, and is run again when what it needs has been
/// read.
///
/// This class is the conductor: it makes the owners, gives each event to the one it is for, and lets jobs
/// have their turns. All state is theirs; see the module's article for who they are and who knows whom.
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

  /// Requests had all of the last event, so that jobs have this one.
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
    waiting = Waiting(cache: cache, event: event, condition: condition, missSeed: options.missSeed)
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
    event.end()
  }

  public func complete(tag: UInt64, errno: Int32) {
    event.begin()
    let tag = Tag(raw: tag)
    switch tag.kind {
    case .load: loaded(FrameIndex(truncatingIfNeeded: tag.value), errno)
    case .read: reads.ended(tag, errno)
    case .logWrite: logWriteEnded(Int(tag.value), errno)
    case .flush: log.flushEnded(errno)
    case .checkpoint: checkpoint.writeEnded(errno)
    case .discard: checkpoint.discardEnded(UInt32(truncatingIfNeeded: tag.value))
    case .cleanerRead: cleaner.readEnded(FrameIndex(truncatingIfNeeded: tag.value), errno)
    case .mount: mountReads.ended(Int(tag.value), errno)
    case .errorRecord: errors.recordWritten()
    case .unknown: break
    }
    operations.runRunnable()
    event.end()
  }

  /// A block that was to be read into the cache has arrived, or not: it joins its owner.
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
    states[state].kernel.forget(count)
    if states[state].kernel.lookups == 0 { freeing.lastLookupGone(state) }
  }

  public func advance() -> UInt64 {
    event.begin()
    guard condition.failure == nil, condition.isReady else {
      if condition.isStopping { condition.setStopped(isQuiet) }
      return condition.failure == nil && !condition.isStopping ? advanceMount() : .max
    }
    defer { event.end() }
    waiting.wakeIfAsked()
    waiting.continueRequests()
    if !isJobsTurn { operations.runRunnable() }
    isJobsTurn = event.isSpent
    guard !event.isSpent else { return 0 }
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
    let next = recovery.advance()
    if next != 0, condition.failure == nil, !condition.isReady, !mountReads.isPending, isQuiet {
      recovery.failForWantOfMemory()
    }
    return next
  }

  // MARK: Jobs

  /// Rounds of jobs in one event at most; each step is short.
  private static let roundsPerEvent = 4
  /// Long work in the order in which it is done. The checkpoint is last: any of the others may find that only
  /// that helps.
  private static let jobs: [Job] = [.commit, .freeing, .cleaner, .paths, .checkpoint]

  /// Does background work that is due.
  /// - Returns: when to be called again.
  private func advanceJobs() -> UInt64 {
    if log.commitDeadline <= event.now.monotonic { log.startCommit(isDurable: true) }
    if condition.isStopping { return advanceStop() }
    var isBusy = false
    for _ in 0..<Self.roundsPerEvent {
      // A round that the event before has begun does not tell whether anything is left.
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
    // What can no longer be written is never due.
    return condition.isReadOnly ? .max : min(log.commitDeadline, checkpoint.deadline)
  }

  private func step(_ job: Job) -> Bool {
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

  /// Numbers are not freed between a checkpoint's cut and its tables: these must be as of the cut.
  private func freeNumbers() -> Bool {
    switch checkpoint.phase {
    case .nodes, .tables: false
    default: freeing.freeNumbersStep()
    }
  }

  // MARK: The end

  public func stop() {
    condition.beginStop()
    // A mount under way is given up: the log is as it was found.
    if !condition.isReady || condition.failure != nil { condition.setStopped(isQuiet) }
  }

  /// Writes everything, and a checkpoint that says that nothing follows it.
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

  /// Whether the device has nothing to do for us: its commands may use our memory.
  private var isQuiet: Bool {
    writes.inFlight == 0 && !log.isFlushing && checkpoint.writesInFlight == 0 && segments.discarding == 0
      && !cleaner.isReading && !waiting.isReading && errors.isWritten && !mountReads.isPending
      && !reads.isReading
  }

  /// Nothing can be written any more: what was acknowledged is on the device as far as it was synced.
  private func endWriting(_ reason: String) {
    checkpoint.giveUp()
    log.giveUp()
    waiting.wakeStalled()
    guard !condition.isReady else { return }
    // What was mounted read-only, and was to become writable, stays what it was.
    if condition.isBecomingWritable { recovery.becomeReady() } else { condition.refuse(reason) }
  }
}
