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

extension FileSystem {
  /// How long ago the oldest change was made that no commit holds, ns; nil when there is none or nothing can be written.
  public var uncommittedAge: UInt64? {
    guard isReady, !isReadOnly, log.oldestChange != 0 else { return nil }
    return now.monotonic - min(now.monotonic, log.oldestChange)
  }

  /// Within which a commit begins, ns.
  public var commitInterval: UInt64 { options.commitInterval }

  /// What there is at this moment.
  public var state: FileSystemState {
    var state = FileSystemState()
    state.cacheFrames = UInt64(memory.frameCount)
    state.freeFrames = UInt64(cache.freeCount)
    state.dirtyDataBytes = UInt64(max(dirtyPages, 0)) * UInt64(Page.size)
    state.dirtyNodeBytes = UInt64(dirtyNodeCount + frozenNodes.count) * UInt64(Page.size)
    state.inodes = UInt64(states.count)
    state.logSequence = log.lastSequence
    state.logCompletedThrough = log.completedThrough
    state.logFlushedThrough = log.flushedThrough
    state.logWritesInFlight = UInt64(max(log.writesInFlight, 0))
    state.logBlocksSinceCheckpoint = log.blocksSinceCut
    state.checkpoint = checkpoint.durable
    state.isCheckpointing = checkpoint.phase != .idle
    state.segments = UInt64(geometry.segmentCount)
    state.freeSegments = UInt64(max(usage.freeCount, 0))
    state.isCleaning = cleaner.victim != nil
    state.usedBlocks = usedBlocks
    state.capacityBlocks = capacity
    state.isReadOnly = isReadOnly
    state.canBecomeWritable = isReadOnly && canBecomeWritable
    return state
  }
}
