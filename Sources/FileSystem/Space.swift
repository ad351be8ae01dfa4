import Format

/// How much room there is, and what happens when there is none.
extension FileSystem {
  /// Segments kept back: the heads, the output of a cleaning pass, the nodes and tables of a checkpoint, and what two
  /// checkpoints hold before segments come free.
  var reserveSegments: UInt64 { max(28, UInt64(geometry.segmentCount) / 16) }

  private var reserveBlocks: UInt64 { reserveSegments * UInt64(geometry.segmentBlocks) }

  /// Blocks that files, nodes and tables can have in all: what is not kept back, less one header in 128.
  var capacity: UInt64 {
    let segments = UInt64(geometry.segmentCount) - min(reserveSegments, UInt64(geometry.segmentCount))
    return segments * UInt64(geometry.segmentBlocks) / 128 * 127
  }

  /// Blocks taken, or promised to what is in memory.
  var usedBlocks: UInt64 {
    usage.liveTotal + UInt64(max(newNodes, 0)) + UInt64(max(chargedPages, 0)) + reservedBlocks
  }

  /// Blocks that operations may still take.
  var availableBlocks: UInt64 { capacity - min(usedBlocks, capacity) }

  /// Blocks that operations on names leave to those that free space; so a write fails when statfs says 0.
  static let marginBlocks: UInt64 = 16

  /// Charges an operation that is about to take `blocks` blocks.
  /// - Throws: `again` while freeing is under way that may make room, `ENOSPC` when there is none.
  func checkSpace(_ blocks: UInt64, margin: UInt64 = 0) throws(Stop) {
    guard blocks + margin > availableBlocks else { return }
    guard !reclaim.isIdle || hasPendingFrees else { throw .fail(Code.noSpace) }
    throw .again
  }

  var hasPendingFrees: Bool { !inodeTable.pendingFrees.isEmpty || !internalTable.pendingFrees.isEmpty }

  /// Dirty pages that may wait for the log: writers wait beyond it.
  var dirtyPageLimit: Int {
    Int(clamping: min(UInt64(memory.frameCount / 4), reserveBlocks / 8))
  }

  /// Frames that changed nodes may take with the table blocks above them, copies of them on their way to the device included:
  /// what dirty pages, an operation, a step of a job, and the pins of one request and one job leave of the cache. A node in
  /// `looseNodes` counts twice, for the table block that may have to be read and changed for it.
  var nodeBudget: Int {
    let others = Self.framesPerOperation + Self.framesForJobs + 2 * Self.pinsPerWaiter + 32
    return min(Int(memory.frameCount) * 3 / 4 - others, 32768)
  }

  private var nodeFrames: Int {
    let frees = inodeTable.pendingFrees.count + internalTable.pendingFrees.count
    return heldNodes.count + 2 * looseNodes.count + frozenNodes.count + checkpoint.blocksInFlight + frees
  }

  /// Whether nodes may be changed now that were not before; if not, a checkpoint has to make room.
  var mayDirtyNodes: Bool {
    !checkpoint.holdsChanges && dirtyNodeCount + frozenNodes.count <= 2 * dirtyNodeLimit
      && nodeFrames <= nodeBudget
  }

  /// Whether so many nodes have changed that a checkpoint ought to begin.
  var hasManyDirtyNodes: Bool { dirtyNodeCount > dirtyNodeLimit || nodeFrames > nodeBudget / 4 * 3 }

  /// Dirty nodes at which a checkpoint begins.
  var dirtyNodeLimit: Int {
    Int(clamping: min(min(UInt64(memory.frameCount / 4), 8192), reserveBlocks / 8))
  }

  /// Log blocks at which a checkpoint begins; this bounds the time of a mount, and what the log holds at most.
  var checkpointLogLimit: UInt64 {
    let wanted = options.checkpointBlocks == 0 ? 65536 : options.checkpointBlocks
    return min(wanted, max(reserveBlocks / 3, UInt64(geometry.segmentBlocks)))
  }

  /// Free segments at which the foreground waits for a checkpoint or the cleaner. What a checkpoint may have to write then,
  /// dirty pages, nodes and tables, fits with room for the cleaner's output.
  var foregroundFloor: Int { Int(clamping: reserveSegments * 3 / 8) }

  /// Free segments below which the cleaner works without being asked.
  var cleanerFloor: Int { Int(clamping: reserveSegments * 5 / 8) }

  /// Free segments that the cleaner leaves to checkpoints.
  var checkpointFloor: Int { Int(clamping: reserveSegments / 8 + 2) }

  /// Makes an operation that takes space wait while free segments are short; what gives space never waits here.
  func waitForSegments() throws(Stop) {
    guard usage.freeCount <= foregroundFloor else { return }
    guard !isExhausted else { throw .fail(Code.noSpace) }
    cleaner.isWanted = true
    throw .again
  }

  /// statfs's answer.
  public var spaceReport: SpaceReport {
    var report = SpaceReport()
    report.blocks = capacity
    report.free = availableBlocks
    report.available = availableBlocks - min(Self.marginBlocks, availableBlocks)
    report.files = inodeTable.root.used + availableBlocks
    report.filesFree = availableBlocks
    return report
  }
}
