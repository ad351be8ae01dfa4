import FileProtocol
import Format

/// What a mounted filesystem holds in memory and has room for, at one moment.
public struct FileSystemState: Sendable {
  /// Frames of the cache, in 4 KiB, and how many of them hold nothing.
  public var cacheFrames: UInt64 = 0
  public var freeFrames: UInt64 = 0
  /// Data and nodes changed and not yet handed to the device, in bytes.
  public var dirtyDataBytes: UInt64 = 0
  public var dirtyNodeBytes: UInt64 = 0
  /// Inodes that the kernel knows of or that have something to commit.
  public var inodes: UInt64 = 0
  /// The last log write begun, completed with all before it, and known to be durable.
  public var logSequence: UInt64 = 0
  public var logCompletedThrough: UInt64 = 0
  public var logFlushedThrough: UInt64 = 0
  /// Log writes at the device.
  public var logWritesInFlight: UInt64 = 0
  /// Blocks of the log that a mount would have to replay.
  public var logBlocksSinceCheckpoint: UInt64 = 0
  /// The last durable checkpoint.
  public var checkpoint: UInt64 = 0
  public var isCheckpointing = false
  /// Segments in all, and those that may be written to.
  public var segments: UInt64 = 0
  public var freeSegments: UInt64 = 0
  /// Whether the cleaner has a segment in hand.
  public var isCleaning = false
  /// Blocks that files and nodes take or are promised, and all they could have.
  public var usedBlocks: UInt64 = 0
  public var capacityBlocks: UInt64 = 0
  public var isReadOnly = false
  /// Whether one that is read-only will be written, once the kernel lets a change through.
  public var canBecomeWritable = false

  public init() {}
}

/// What happened since the mount, for people and tests.
public struct Counters: Sendable {
  public var requests: UInt64 = 0
  public var reruns: UInt64 = 0
  /// The most work done in one event, in units of about 3 ns; see `Work`.
  public var mostWorkPerStep: UInt64 = 0
  public var nodeLoads: UInt64 = 0
  public var logWrites: UInt64 = 0
  public var logBlocks: UInt64 = 0
  public var flushes: UInt64 = 0
  public var checkpoints: UInt64 = 0
  public var cleanedSegments: UInt64 = 0
  public var movedBlocks: UInt64 = 0
  public var checksumErrors: UInt64 = 0
}

/// What the daemon and tools may know.
extension FileSystem {
  public var isReady: Bool { condition.isReady }
  public var isStopped: Bool { condition.isStopped }
  public var failure: String? { condition.failure }
  /// The last log write before the one that keeps a filesystem from being mounted; nil when something else
  /// does.
  public var replayableThrough: UInt64? { condition.replayableThrough }
  /// What keeps it from being mounted is that no superblock can be used: the device may hold something else,
  /// or nothing.
  public var hasNoSuperblock: Bool { condition.hasNoSuperblock }
  /// What keeps it from being mounted is that no segment is free. Those that are empty in the newest
  /// checkpoint could be used: see `Options.reusesEmptySegments`.
  public var lacksSegments: Bool { condition.lacksSegments }
  /// The superblock; nil until it was read.
  public var superblock: Superblock? { volume.superblock }
  /// What people are to be told, oldest first: damage found, writes that failed. The daemon empties it.
  public var notices: [String] {
    get { errors.notices }
    set { errors.setNotices(newValue) }
  }
  /// What went wrong since the last check in full.
  public var errorRecord: ErrorRecord { errors.errorRecord }
  /// The record with a mount that was refused, for the caller to write; nil where there is none, or it must
  /// not be written.
  public var recordOfRefusal: (block: UInt64, bytes: [UInt8])? { errors.recordOfRefusal }
  /// statfs's answer. What it says is available can be written to one file, with the map that this file needs
  /// then, by any user; what is free beyond that, only by root.
  public var spaceReport: SpaceReport { space.report }
  /// The most work that an event may do, in units of which one is about 3 ns: a step of at most 200 us.
  public static var stepLimit: UInt64 { UInt64(Work.limit) }
  /// How often and how long requests have waited since the mount, by what they waited for.
  public var waits: WaitTimes { waiting.waits }

  /// How long ago the oldest change was made that no commit holds, ns; nil when there is none or nothing can
  /// be written.
  public var uncommittedAge: UInt64? {
    guard isReady, !condition.isReadOnly, uncommitted.oldestChange != 0 else { return nil }
    return event.now.monotonic - min(event.now.monotonic, uncommitted.oldestChange)
  }

  /// Within which a commit begins, ns.
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
    counters.flushes = writes.flushCount
    counters.checkpoints = checkpoint.count
    counters.cleanedSegments = cleaner.segmentCount
    counters.movedBlocks = cleaner.blockCount
    counters.checksumErrors = loader.mismatches
    return counters
  }

  /// What there is at this moment.
  public var state: FileSystemState {
    var state = FileSystemState()
    state.cacheFrames = UInt64(cache.memory.frameCount)
    state.freeFrames = UInt64(cache.freeCount)
    state.dirtyDataBytes = UInt64(pages.dirtyCount) * UInt64(Page.size)
    state.dirtyNodeBytes = UInt64(nodes.dirtyCount + nodes.frozenCount) * UInt64(Page.size)
    state.inodes = UInt64(states.count)
    state.logSequence = log.lastSequence
    state.logCompletedThrough = log.completedThrough
    state.logFlushedThrough = log.flushedThrough
    state.logWritesInFlight = UInt64(writes.inFlight)
    state.logBlocksSinceCheckpoint = log.blocksSinceCut
    state.checkpoint = checkpoint.durable
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
