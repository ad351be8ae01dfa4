import FileProtocol
import Format

/// A snapshot of a mounted filesystem's memory, log, checkpoint and space figures.
public struct FileSystemState: Sendable {
  /// Frames of the cache, 4 KiB each, and how many of them are free.
  public var cacheFrames: UInt64 = 0
  public var freeFrames: UInt64 = 0
  /// Dirty data and dirty nodes not yet submitted to the device, in bytes.
  public var dirtyDataBytes: UInt64 = 0
  public var dirtyNodeBytes: UInt64 = 0
  /// Inodes that the kernel has looked up, that have cached pages, or that have something to commit.
  public var inodes: UInt64 = 0
  /// Those of them that the kernel knows: it has looked them up and not forgotten them.
  public var knownInodes: UInt64 = 0
  /// Sequence numbers of the last log write formed, the last completed with all before it, and the last known
  /// to be durable.
  public var logSequence: UInt64 = 0
  public var logCompletedThrough: UInt64 = 0
  public var logFlushedThrough: UInt64 = 0
  /// Log writes at the device.
  public var logWritesInFlight: UInt64 = 0
  /// Blocks of the log that a mount would have to replay.
  public var logBlocksSinceCheckpoint: UInt64 = 0
  /// The last durable checkpoint.
  public var checkpoint: UInt64 = 0
  /// The checkpoint that was mounted, and the log writes after it that were replayed.
  public var mountedCheckpoint: UInt64 = 0
  public var replayedLogWrites: UInt64 = 0
  public var isCheckpointing = false
  /// Segments in all, and those that may be written to.
  public var segments: UInt64 = 0
  public var freeSegments: UInt64 = 0
  /// Whether the cleaner is cleaning a segment.
  public var isCleaning = false
  /// Blocks that files and nodes take or have reserved, and the most they may take.
  public var usedBlocks: UInt64 = 0
  public var capacityBlocks: UInt64 = 0
  public var isReadOnly = false
  /// Whether a read-only filesystem becomes writable with the first change that the kernel lets through.
  public var canBecomeWritable = false

  public init() {}
}

/// Counters since the mount, for `varve stat` and tests.
public struct Counters: Sendable {
  public var requests: UInt64 = 0
  public var reruns: UInt64 = 0
  /// The most work done in one event, in units of about 3 ns; see `Work`.
  public var mostWorkPerStep: UInt64 = 0
  public var nodeLoads: UInt64 = 0
  public var logWrites: UInt64 = 0
  public var logBlocks: UInt64 = 0
  /// Of these those written by the foreground log, for checkpoints' nodes, and by the cleaner.
  public var foregroundBlocks: UInt64 = 0
  public var nodeBlocks: UInt64 = 0
  public var cleanerBlocks: UInt64 = 0
  /// Pages of files in the foreground log.
  public var dataBlocks: UInt64 = 0
  /// Log blocks for 100 blocks of data: the filesystem's write amplification. 0 before anything was written.
  public var writeAmplificationPercent: UInt64 = 0
  public var flushes: UInt64 = 0
  public var checkpoints: UInt64 = 0
  public var cleanedSegments: UInt64 = 0
  public var movedBlocks: UInt64 = 0
  public var checksumErrors: UInt64 = 0
}

/// What the daemon and the tools can ask of a filesystem.
extension FileSystem {
  public var isReady: Bool { condition.isReady }
  public var isStopped: Bool { condition.isStopped }
  public var failure: String? { condition.failure }
  /// Where a damaged log write keeps the filesystem from being mounted: the log write before it; nil when
  /// anything else does.
  public var replayableThrough: UInt64? { condition.replayableThrough }
  /// Whether the mount was refused because neither superblock is valid: the device may hold something else,
  /// or nothing.
  public var hasNoSuperblock: Bool { condition.hasNoSuperblock }
  /// Whether the mount was refused because no segment is free. Those that are empty in the newest checkpoint
  /// could be used: see `Options.reusesEmptySegments`.
  public var lacksSegments: Bool { condition.lacksSegments }
  /// The superblock; nil until it was read.
  public var superblock: Superblock? { volume.superblock }
  /// Messages for the system log, oldest first: damage found, writes that failed. The daemon empties it.
  public var notices: [String] {
    get { errors.notices }
    set { errors.setNotices(newValue) }
  }
  /// What the device said of the last failed command on any of these blocks, or of the last failed flush where
  /// there are none: messages say it too. The mount sets it.
  public var deviceStatus: (_ blocks: Range<UInt64>?) -> String? {
    get { errors.deviceStatus }
    set { errors.deviceStatus = newValue }
  }
  /// Errors counted since the last full check.
  public var errorRecord: ErrorRecord { errors.errorRecord }
  /// After a refused mount: the error record with that mount counted, for the caller to write; nil where
  /// there is none, or it must not be written.
  public var recordOfRefusal: (block: UInt64, bytes: [UInt8])? { errors.recordOfRefusal }
  /// statfs's answer. What it reports as available any user can write to one file, the map that this file
  /// then needs included; what is free beyond that, only root.
  public var spaceReport: SpaceReport { space.report }
  /// The most work that one event may do, in units of about 3 ns: a step of at most 200 us.
  public static var stepLimit: UInt64 { UInt64(Work.limit) }
  /// How often and how long requests wait, and have waited since the mount, by what they wait for.
  public var waits: WaitTimes { waiting.waitTimes }

  /// Age of the oldest change that is not committed, ns; nil when there is none or the filesystem is
  /// read-only.
  public var uncommittedAge: UInt64? {
    guard isReady, !condition.isReadOnly, uncommitted.oldestChange != 0 else { return nil }
    return event.now.monotonic - min(event.now.monotonic, uncommitted.oldestChange)
  }

  /// A commit begins at most this long after the oldest uncommitted change, ns.
  public var commitInterval: UInt64 { options.commitInterval }

  /// Counters since the mount.
  public var statistics: Counters {
    var counters = Counters()
    counters.requests = slots.count
    counters.reruns = operations.reruns
    counters.mostWorkPerStep = UInt64(event.mostWork)
    counters.nodeLoads = loader.reads
    counters.logWrites = writes.writeCount
    counters.logBlocks = writes.blockCount
    counters.foregroundBlocks = writes.foregroundBlocks
    counters.nodeBlocks = writes.nodeBlocks
    counters.cleanerBlocks = writes.cleanerBlocks
    counters.dataBlocks = writes.pageCount
    if writes.pageCount > 0 {
      counters.writeAmplificationPercent = (writes.blockCount * 100 + writes.pageCount / 2) / writes.pageCount
    }
    counters.flushes = writes.flushCount
    counters.checkpoints = checkpoint.count
    counters.cleanedSegments = cleaner.segmentCount
    counters.movedBlocks = cleaner.blockCount
    counters.checksumErrors = loader.mismatches
    return counters
  }

  /// The figures at this moment.
  public var state: FileSystemState {
    var state = FileSystemState()
    state.cacheFrames = UInt64(cache.memory.frameCount)
    state.freeFrames = UInt64(cache.freeCount)
    state.dirtyDataBytes = UInt64(pages.dirtyCount) * UInt64(Page.size)
    state.dirtyNodeBytes = UInt64(nodes.dirtyCount + nodes.frozenCount) * UInt64(Page.size)
    state.inodes = UInt64(states.count)
    state.knownInodes = UInt64(states.known)
    state.logSequence = log.lastSequence
    state.logCompletedThrough = log.completedThrough
    state.logFlushedThrough = log.flushedThrough
    state.logWritesInFlight = UInt64(writes.inFlight)
    state.logBlocksSinceCheckpoint = log.blocksSinceCut
    state.checkpoint = checkpoint.durable
    state.mountedCheckpoint = recovery.mountedCheckpoint
    state.replayedLogWrites = recovery.replayedLogWrites
    state.isCheckpointing = checkpoint.phase != .idle
    state.segments = UInt64(volume.geometry.segmentCount)
    state.freeSegments = UInt64(segments.freeCount)
    state.isCleaning = cleaner.isCleaning
    state.usedBlocks = space.usedBlocks
    state.capacityBlocks = space.capacity
    state.isReadOnly = condition.isReadOnly
    state.canBecomeWritable = condition.isReadOnly && recovery.canBecomeWritable
    return state
  }
}
