import CMachine
import FileProtocol
import Format

/// A log-structured filesystem as a state machine: requests, completions and time in, device commands and replies out.
///
/// It performs no I/O, has no clock and no locks, and belongs to one thread. Operations run over cached nodes; one that
/// misses gives up before it changed anything, and is run again when what it needs has been read.
public final class FileSystem: FileService {
  // MARK: What the world sees

  public let requests: UnsafeMutablePointer<Request>
  public let replies: UnsafeMutablePointer<Reply>
  public let effects = Effects()
  public var now = Instant(monotonic: 0, realtime: 0)
  public internal(set) var isReady = false
  public internal(set) var isStopped = false
  public internal(set) var failure: String?
  /// The last log write before the one that keeps a filesystem from being mounted; nil when something else does.
  public internal(set) var replayableThrough: UInt64?
  /// What keeps it from being mounted is that no superblock can be used: the device may hold something else, or nothing.
  public internal(set) var hasNoSuperblock = false
  /// What keeps it from being mounted is that no segment is free. Those that are empty in the newest checkpoint could be
  /// used: see `Options.reusesEmptySegments`.
  public internal(set) var lacksSegments = false
  /// Things a person should hear of, oldest first: damage found, writes that failed. The daemon empties it.
  public var notices: [String] = []
  var errors = ErrorAccount()
  var naming = Naming()

  // MARK: What it works with

  let memory: WorkingMemory
  let options: Options
  let deviceBlocks: UInt64
  let hasVolatileCache: Bool
  let canDiscard: Bool
  let cache: Cache
  let states = InodeStates()
  let inodeTable = NodeTable(nodeKind: .inode, blockKind: .inodeTable)
  let internalTable = NodeTable(nodeKind: .internalNode, blockKind: .internalTable)
  /// Known once the superblock was read.
  var usage: SegmentUsage
  var geometry: Geometry
  var nonce = Nonce(high: 0, low: 0)
  var checksum = Checksum.unseeded
  var hash = DirectoryHash(key: (0, 0))
  public internal(set) var superblock: Superblock?
  /// Set by the option, by the superblock, or after a failure that leaves nothing else.
  var isReadOnly: Bool
  /// It was mounted to be read only: recovery has written nothing.
  var isMountedReadOnly: Bool
  /// Something could not be written: from then on nothing is.
  var hasFailed = false

  // MARK: Requests and jobs under way

  let slots: UnsafeMutablePointer<SlotState>
  /// Expected checksums of the blocks a slot reads, `slotChecksums` a slot.
  let slotChecksums: UnsafeMutablePointer<UInt32>
  /// One for each slot, then one for each job.
  let waiters: UnsafeMutablePointer<Waiter>
  let waiterCount: Int
  /// Who waits for a frame being read.
  var loadWaiters: [FrameIndex: [Int]] = [:]
  var currentWaiter = 0
  /// The request that keeps its frames though too few are free for it to run.
  var keeper: Int?
  /// Slots to be run again as soon as the event at hand is done.
  var runnable: [Int] = []
  /// The first of them that has not run yet.
  var nextRunnable = 0
  /// Slots that wait for room of any kind.
  var stalled: [Int] = []
  /// Slots whose long operation has done its share and goes on in the next `advance`.
  var continuing: [Int] = []
  /// The operation at hand is one of these.
  var goesOn = false
  /// Work done in the event at hand; see `Work`.
  @exclusivity(unchecked)
  var work = 0
  /// Requests had all of the last event, so that jobs have this one.
  var isJobsTurn = false
  /// Number of the last walk that drops cached pages in steps.
  var lastCutWalk: UInt64 = 0
  /// The job whose turn it is, by its place in `jobs`.
  var nextJob = 0
  /// The request that walks up from a directory's new parent: no other directory changes its parent meanwhile.
  var directoryMover: Int?
  /// Numbers of all arena frames, in order: a run of frames is a pointer into it.
  let identity: UnsafeMutablePointer<UInt32>

  // MARK: Nodes

  /// The inode and the lowest map node used last.
  var lastInode = InodeMemo()
  var lastLeaf = LeafMemo()
  /// Nodes changed since the last cut: those with a dirty table block above them, and the others.
  var heldNodes = FrameList()
  var looseNodes = FrameList()
  /// Nodes of the checkpoint under way that it still has to write.
  var frozenNodes = FrameList()
  /// Nodes with a number and no address yet; they take space.
  var newNodes = 0
  /// Blocks of the node tables without an address yet.
  var newTableBlocks = 0

  // MARK: Data

  /// Inodes with something to commit, as slots of `states`.
  var uncommitted: [Int] = []
  var dirtyPages = 0
  /// Pages that have become dirty so far.
  var lastDirtied: UInt64 = 0
  /// Dirty pages over holes: they take space.
  var chargedPages = 0
  /// Blocks promised by fallocate.
  var reservedBlocks: UInt64 = 0
  /// Inodes with pages in frames that slots lend, as long as they wait to be written.
  var borrowers: [UInt64] = []
  /// Pages that must be in the same log write as the records made so far.
  var urgentPages: [PageName] = []

  // MARK: Logs

  var log = Log()
  var checkpoint = Checkpoint()
  var cleaner = Cleaner()
  var reclaim = Reclaim()
  var mounting = Mounting()
  var isStopping = false
  /// Requests that wait for room are to try again at the next `advance`.
  var needsWake = false
  var counters = Counters()
  @exclusivity(unchecked)
  var misses = PlannedMisses()

  /// A filesystem on a device of `blockCount` 4 KiB blocks. Mounting begins with the first `advance`.
  public init(
    memory: WorkingMemory, blockCount: UInt64, hasVolatileCache: Bool, canDiscard: Bool,
    options: Options = Options()
  ) {
    self.memory = memory
    self.options = options
    deviceBlocks = blockCount
    self.hasVolatileCache = hasVolatileCache
    self.canDiscard = canDiscard
    isReadOnly = options.readOnly
    isMountedReadOnly = options.readOnly
    misses.random = options.missSeed
    cache = Cache(memory: memory)
    geometry = .none
    usage = SegmentUsage(geometry: .none)
    requests = .allocate(capacity: memory.slots)
    requests.initialize(repeating: Request(), count: memory.slots)
    replies = .allocate(capacity: memory.slots)
    replies.initialize(repeating: Reply(), count: memory.slots)
    slots = .allocate(capacity: memory.slots)
    slots.initialize(repeating: SlotState(), count: memory.slots)
    slotChecksums = .allocate(capacity: memory.slots * SlotState.maximumBlocks)
    slotChecksums.initialize(repeating: 0, count: memory.slots * SlotState.maximumBlocks)
    waiterCount = memory.slots + Job.allCases.count
    waiters = .allocate(capacity: waiterCount)
    waiters.initialize(repeating: Waiter(), count: waiterCount)
    let arenaFrames = Int(memory.firstFrame + memory.frameCount)
    identity = .allocate(capacity: arenaFrames)
    for frame in 0..<arenaFrames { identity[frame] = UInt32(truncatingIfNeeded: frame) }
    // The cache goes with the filesystem.
    cache.onEvict = { [unowned(unsafe) self] frame in forgetCleanPage(frame) }
  }

  deinit {
    requests.deinitialize(count: memory.slots)
    requests.deallocate()
    replies.deinitialize(count: memory.slots)
    replies.deallocate()
    slots.deallocate()
    slotChecksums.deallocate()
    waiters.deinitialize(count: waiterCount)
    waiters.deallocate()
    identity.deallocate()
  }

  // MARK: Events

  public func begin(slot: Int) {
    beginEvent()
    slots[slot] = SlotState()
    replies[slot] = Reply()
    counters.requests += 1
    run(slot)
    runRunnable()
    endEvent()
  }

  public func complete(tag: UInt64, errno: Int32) {
    beginEvent()
    let tag = Tag(raw: tag)
    switch tag.kind {
    case .load: loaded(FrameIndex(truncatingIfNeeded: tag.value), errno)
    case .read: readEnded(tag, errno)
    case .logWrite: logWriteEnded(Int(tag.value), errno)
    case .flush: flushEnded(errno)
    case .checkpoint: checkpointWriteEnded(errno)
    case .discard: discardEnded(UInt32(truncatingIfNeeded: tag.value))
    case .cleanerRead: cleanerReadEnded(FrameIndex(truncatingIfNeeded: tag.value), errno)
    case .mount: mountReadEnded(Int(tag.value), errno)
    case .errorRecord: errorRecordWritten()
    case .unknown: break
    }
    runRunnable()
    endEvent()
  }

  public func forget(node: UInt64, count: UInt64) {
    guard let slot = states.find(NodeID(raw: node).number),
      states.slots[slot].generation == NodeID(raw: node).generation
    else { return }
    let left = states.slots[slot].lookups
    states.slots[slot].lookups = left - min(left, count)
    if states.slots[slot].lookups == 0 { lastLookupGone(slot) }
  }

  public func advance() -> UInt64 {
    beginEvent()
    guard failure == nil, isReady else {
      if isStopping { isStopped = isQuiet }
      return failure == nil && !isStopping ? advanceMount() : .max
    }
    defer { endEvent() }
    if needsWake {
      needsWake = false
      wakeStalled()
    }
    if !continuing.isEmpty {
      runnable.append(contentsOf: continuing)
      continuing.removeAll(keepingCapacity: true)
    }
    if !isJobsTurn { runRunnable() }
    isJobsTurn = isSpent
    guard !isSpent else { return 0 }
    let isBusy = writeBorrowed()
    if errors.isDirty { writeErrorRecord() }
    let next = advanceJobs()
    // A request that runs now may give work to a job that has already run.
    let isLate = !runnable.isEmpty
    runRunnable()
    return needsWake || isBusy || isLate || !continuing.isEmpty || !runnable.isEmpty ? 0 : next
  }

  public func stop() {
    isStopping = true
    // A mount under way is given up: the log is as it was found.
    if !isReady || failure != nil { isStopped = isQuiet }
  }
}

extension Geometry {
  /// Stands in until the superblock was read.
  static let none: Geometry = {
    // The smallest geometry is always possible.
    guard let geometry = try? Geometry.fitting(blockCount: 16384) else {
      preconditionFailure("impossible geometry")
    }
    return geometry
  }()
}
