import FileProtocol
import Format
import Glibc

/// Space accounting: how many blocks and free segments there are, and when a request fails or waits for lack
/// of them; and how many pages and nodes may be dirty.
///
/// Owns no state: it computes everything from the counts of the other owners. `Operations.beginChange`,
/// `Freeing`, `Cleaner` and `Recovery` act on it.
///
/// `CheckpointWriter` and reads that set access times ask it too. It relies on every request to change at most
/// `nodesPerRequest` nodes and to make at most `recordBlocksPerRequest` blocks of records: an operation that
/// may do more must raise them.
///
/// There are two resources, each with its own rule.
///
/// *Blocks*: the blocks that files, nodes and tables take now or will take when dirty ones are written. An
/// operation is charged before it begins, and fails with ENOSPC when too few are available; one that takes no
/// blocks is never refused.
///
/// *Free segments*: everything is written into free segments, overwrites too. At every moment the free
/// segments suffice to write everything that is dirty and a checkpoint of it, in a new chain, because a mount
/// after a crash at this moment has to (`segmentDemand`). Beyond that some are kept for the cleaner
/// (`cleanerRoom`). An operation that would use either waits until checkpoints and the cleaner have freed
/// segments. They can, because blocks are never allocated beyond `capacity`, so some segments always hold
/// enough dead blocks.
final class Space {
  private let memory: WorkingMemory
  private let waiting: Waiting
  private let volume: Volume
  private let segments: SegmentTable
  private let nodes: NodeStore
  private let map: FileMap
  private let pages: Pages
  private let uncommitted: Uncommitted
  private let log: Log
  private let free: FreeQueue
  private let options: Options

  init(log: Log, free: FreeQueue) {
    self.log = log
    self.free = free
    options = log.options
    pages = log.pages
    uncommitted = log.uncommitted
    map = pages.map
    nodes = map.nodes
    memory = nodes.cache.memory
    waiting = nodes.waiting
    volume = nodes.volume
    segments = nodes.segments
  }

  // MARK: Blocks

  /// Segments' worth of blocks that files and nodes never fill: for heads, a checkpoint, the cleaner's
  /// output, and dead blocks in segments not yet cleaned. The more of the last, the less the cleaner has to
  /// move for each block that it gains.
  var reserveSegments: UInt64 {
    min(24 + UInt64(volume.geometry.segmentCount) / 16, UInt64(volume.geometry.segmentCount))
  }

  private var reserveBlocks: UInt64 { reserveSegments * UInt64(volume.geometry.segmentBlocks) }

  /// Blocks that files, nodes and tables can have in all: those outside of the reserve, less one log header
  /// in 128.
  var capacity: UInt64 {
    (UInt64(volume.geometry.segmentCount) - reserveSegments) * UInt64(volume.geometry.segmentBlocks) / 128
      * 127
  }

  /// Blocks taken: live, reserved by fallocate, or charged to dirty pages and new nodes.
  var usedBlocks: UInt64 {
    segments.liveTotal + UInt64(max(nodes.newNodes + nodes.newTableBlocks, 0)) + UInt64(pages.chargedCount)
      + map.reservedBlocks
  }

  /// Blocks that operations may still take.
  var availableBlocks: UInt64 { capacity - min(usedBlocks, capacity) }

  /// Blocks that writes leave for names.
  static let marginBlocks: UInt64 = 16

  /// The user who may take the last blocks.
  static let root: UInt32 = 0

  /// Blocks that only root may take (`Options.rootPercent`).
  var rootBlocks: UInt64 {
    capacity * UInt64(clamping: min(options.rootPercent, Options.largestRootPercent)) / 100
  }

  /// Checks that an operation of a user, which is about to take up to `blocks` blocks, has enough.
  /// - Throws: `again` while background freeing may still free enough, otherwise `ENOSPC`.
  func checkSpace(_ blocks: UInt64, margin: UInt64 = 0, for user: UInt32) throws(Stop) {
    guard blocks > 0 else { return }
    let kept = user == Self.root ? 0 : rootBlocks
    guard blocks + margin + kept > availableBlocks else { return }
    guard !free.isIdle || nodes.hasPendingFrees else { throw .fail(ENOSPC) }
    throw .again(.freeing)
  }

  /// statfs's answer. What it reports as available any user can write to one file, the map that this file
  /// then needs included; what is free beyond that, only root.
  var report: SpaceReport {
    var report = SpaceReport()
    report.blocks = capacity
    report.free = availableBlocks
    let kept = Self.marginBlocks + UInt64(FileMap.nodesPerWrite) + rootBlocks
    let withMap = availableBlocks - min(kept, availableBlocks)
    report.available = withMap - (withMap + 255) / 256
    report.files = nodes.inodes.root.used + availableBlocks
    report.filesFree = availableBlocks
    return report
  }

  // MARK: What may be dirty

  /// The most dirty pages there may be; writers wait beyond it.
  var dirtyPageLimit: Int {
    Int(clamping: min(UInt64(memory.frameCount / 4), reserveBlocks / 8))
  }

  /// Frames that dirty nodes, the table blocks above them and copies of them on their way to the device may
  /// take: the cache without the frames for dirty pages, for an operation, for a step of a job, and for the
  /// pins of one request and one job. A loose node counts twice, for the table block that may have to be read
  /// and dirtied.
  var nodeBudget: Int {
    let others = Waiting.framesPerOperation + Waiting.framesForJobs + 2 * Waiting.pinsPerWaiter + 32
    return min(Int(memory.frameCount) * 3 / 4 - others, 32768)
  }

  private var nodeFrames: Int {
    nodes.dirtyCount + nodes.looseCount + nodes.frozenCount + nodes.log.blocksInFlight
      + nodes.pendingFreeCount
  }

  /// Whether more nodes may become dirty now; if not, a checkpoint has to make room.
  var mayDirtyNodes: Bool {
    !waiting.holdsChanges && nodes.dirtyCount + nodes.frozenCount <= 2 * dirtyNodeLimit
      && nodeFrames <= nodeBudget
  }

  /// Whether so many nodes are dirty that a checkpoint should begin.
  var hasManyDirtyNodes: Bool { nodes.dirtyCount > dirtyNodeLimit || nodeFrames > nodeBudget / 4 * 3 }

  /// Dirty nodes at which a checkpoint begins.
  var dirtyNodeLimit: Int {
    Int(clamping: min(min(UInt64(memory.frameCount / 4), 8192), reserveBlocks / 8))
  }

  /// Log blocks at which a checkpoint begins; this bounds the length of the log and the time of a mount.
  var checkpointLogLimit: UInt64 {
    let wanted = options.checkpointBlocks == 0 ? 65536 : options.checkpointBlocks
    return min(wanted, max(reserveBlocks / 3, UInt64(volume.geometry.segmentBlocks)))
  }

  // MARK: Free segments

  /// Segments that a new chain takes, at a mount or after a failed log write, one more, and one for the second
  /// head of nodes.
  private static let segmentsBegun = 4
  /// Nodes that a request changes, at most, not counting the maps of its pages: setting a long attribute
  /// changes the most.
  private static let nodesPerRequest = 40
  /// Log blocks for the records of a request, and for the blocks that may be left unused at a segment's end.
  private static let recordBlocksPerRequest = 32

  /// Free segments that may be needed to write everything that is dirty, `pages` pages and `nodes` nodes
  /// more, and a checkpoint of all of it.
  ///
  /// The rest of the segments that heads have begun does not count, because a mount begins new ones.
  func segmentDemand(pages newPages: Int = 0, nodes newNodes: Int = 0) -> Int {
    let dirtyPages = pages.dirtyCount + newPages
    // Each log write has a header and up to 257 blocks, and may leave a few blocks of a segment unused.
    let logBlocks =
      (dirtyPages + uncommitted.records.bytes.count / Page.size + 2) * 33 / 32
      + Self.recordBlocksPerRequest
    // A new dirty page may dirty a map node. Pages that are dirty already have dirtied theirs, except those
    // that a failed log write made dirty again.
    let nodesInUse = Int(clamping: nodes.inodes.root.used &+ nodes.internals.root.used)
    let maps = min(!log.hasFailures ? newPages : dirtyPages, nodesInUse)
    let changed = nodes.dirtyCount + nodes.frozenCount + newNodes + maps
    let tables = min(
      3 * (changed + nodes.pendingFreeCount), tableBlocks(nodes.inodes) + tableBlocks(nodes.internals))
    let nodeBlocks = (changed + tables) * 128 / 127 + 4
    return segments(for: logBlocks, waste: 16) + segments(for: nodeBlocks, waste: 2) + Self.segmentsBegun
  }

  private func segments(for blocks: Int, waste: Int) -> Int {
    let room = Int(volume.geometry.segmentBlocks) - waste
    return (blocks + room - 1) / room
  }

  /// Blocks of a table, at most.
  private func tableBlocks(_ table: NodeTable) -> Int {
    (1...max(UInt64(table.root.height), 1)).reduce(0) {
      $0 + Int(clamping: table.root.limit >> (8 * $1)) + 1
    }
  }

  /// Free segments beyond the demand that only the cleaner may use: room for at least one victim and its
  /// maps, with partly filled segments.
  private static let leastCleanerRoom = 4
  var cleanerRoom: Int { Self.leastCleanerRoom + Int(clamping: reserveSegments / 64) }
  /// Free segments beyond those that operations which free space may use too.
  private var freeingRoom: Int { cleanerRoom / 2 }
  /// Free segments below which the cleaner works without being asked, so that operations seldom wait for it.
  ///
  /// Every segment that is kept free makes the others fuller, and so the cleaner move more.
  private var cleaningLevel: Int { segmentDemand() + 2 * cleanerRoom + freeingRoom }

  /// Free segments that always suffice: for as many dirty nodes and pages as the cache has frames, each node
  /// with all the table blocks that may change for it. With more, the demand need not be computed.
  private var ampleSegments: Int {
    let blocks = 8 * Int(memory.frameCount) + 2 * Waiting.framesPerOperation + LogWrite.maximumBlocks
    return (blocks >> volume.geometry.segmentBlocks.trailingZeroBitCount) * 5 / 4 + cleanerRoom + freeingRoom
      + 16
  }

  /// Whether free segments are short for operations that take space, or, with `givesSpace`, even for those
  /// that free space.
  func isShortOfSegments(_ demand: Int, givesSpace: Bool = false) -> Bool {
    segments.freeCount <= demand + cleanerRoom + (givesSpace ? 0 : freeingRoom)
  }

  /// Whether the cleaner should work without being asked.
  var wantsCleaning: Bool { segments.freeCount < cleaningLevel }

  /// Whether the cleaner has emptied enough segments for the two checkpoints that free them: each writes all
  /// nodes that have changed, so it is not worth making them for a few.
  func isWorthCheckpoints(emptied: Int) -> Bool {
    let gain = min(max(segments.count / 32, 4), 32)
    return segments.freeCount + emptied >= cleaningLevel + gain
  }

  /// Makes a request that writes up to `pages` pages wait while segments are short.
  /// - Throws: `again` while checkpoints or the cleaner may free segments; `ENOSPC` when they cannot, which
  ///   happens only after damage.
  func waitForSegments(pages: Int = 0, givesSpace: Bool = false) throws(Stop) {
    guard segments.freeCount <= ampleSegments else { return }
    let demand = segmentDemand(pages: pages, nodes: Self.nodesPerRequest)
    guard isShortOfSegments(demand, givesSpace: givesSpace) else { return }
    if segments.isExhausted {
      // There is nothing to clean, so the cleaner does not need its segments.
      guard segments.freeCount <= demand else { return }
      guard isChanged else { throw .fail(ENOSPC) }
      waiting.askForCheckpoint()
    }
    waiting.askForSegments()
    throw .again(.segments)
  }

  // MARK: Beginning a change

  /// Whether there are changes that the last checkpoint does not include.
  var isChanged: Bool {
    nodes.dirtyCount > 0 || pages.dirtyCount > 0 || uncommitted.hasRecords || nodes.hasPendingFrees
      || log.blocksSinceCut > 0
  }

  /// Whether a checkpoint should be made.
  var needsCheckpoint: Bool {
    waiting.wantsCheckpoint || hasManyDirtyNodes || log.blocksSinceCut > checkpointLogLimit
  }

  // MARK: Invariants

  func checkInvariants(_ invariants: inout Invariants) {
    // Removing names takes a few blocks for the orphan directory, even when no blocks are left.
    let most = capacity + reserveBlocks
    invariants.expect(usedBlocks <= most, "\(usedBlocks) blocks are used of \(most)")
  }
}
