import FileProtocol
import Format
import Glibc

/// How much room there is, and what happens when there is none.
///
/// Owns no state: it weighs what the other owners count. `Operations.beginChange`,
/// `Freeing`, `Cleaner` and `Recovery` go by it.
///
/// Two things run short, each by its own rule.
///
/// *Blocks*: what files, nodes and tables take, now or when what is in memory has been written. An operation
/// is charged before it begins and fails with ENOSPC when there is not as much; one that takes nothing is
/// never refused.
///
/// *Free segments*: what is written next goes there, an overwrite too. At every moment those that are free
/// suffice to write all that is dirty and a checkpoint of it, in a chain begun anew, as a mount after a crash
/// at this moment has to (`segmentDemand`). Above that the cleaner has room of its own (`cleanerRoom`). An
/// operation that would take from either waits until checkpoints and the cleaner have freed segments. They
/// can, because blocks are never given out beyond `capacity`: some segments always hold enough that is dead.
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

  /// Segments that files and nodes never fill: heads, a checkpoint, the cleaner's output, and what is dead in
  /// segments waiting for the cleaner. The more of the last, the less it has to move for a block it gains.
  var reserveSegments: UInt64 {
    min(24 + UInt64(volume.geometry.segmentCount) / 16, UInt64(volume.geometry.segmentCount))
  }

  private var reserveBlocks: UInt64 { reserveSegments * UInt64(volume.geometry.segmentBlocks) }

  /// Blocks that files, nodes and tables can have in all: what is not kept back, less one header in 128.
  var capacity: UInt64 {
    (UInt64(volume.geometry.segmentCount) - reserveSegments) * UInt64(volume.geometry.segmentBlocks) / 128
      * 127
  }

  /// Blocks taken, or promised to what is in memory.
  var usedBlocks: UInt64 {
    segments.liveTotal + UInt64(max(nodes.newNodes + nodes.newTableBlocks, 0)) + UInt64(pages.chargedCount)
      + map.reservedBlocks
  }

  /// Blocks that operations may still take.
  var availableBlocks: UInt64 { capacity - min(usedBlocks, capacity) }

  /// Blocks that data leaves to names.
  static let marginBlocks: UInt64 = 16

  /// The user for whom the last of the room is kept.
  static let root: UInt32 = 0

  /// Blocks that only root may take (`Options.rootPercent`).
  var rootBlocks: UInt64 {
    capacity * UInt64(clamping: min(options.rootPercent, Options.largestRootPercent)) / 100
  }

  /// Charges an operation of a user's that is about to take up to `blocks` blocks.
  /// - Throws: `again` while freeing is under way that may make room, `ENOSPC` when there is none.
  func checkSpace(_ blocks: UInt64, margin: UInt64 = 0, for user: UInt32) throws(Stop) {
    guard blocks > 0 else { return }
    let kept = user == Self.root ? 0 : rootBlocks
    guard blocks + margin + kept > availableBlocks else { return }
    guard !free.isIdle || nodes.hasPendingFrees else { throw .fail(ENOSPC) }
    throw .again(.freeing)
  }

  /// statfs's answer. What it says is available can be written to one file, with the map that this file needs
  /// then, by any user; what is free beyond that, only by root.
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

  /// Dirty pages that may wait for the log: writers wait beyond it.
  var dirtyPageLimit: Int {
    Int(clamping: min(UInt64(memory.frameCount / 4), reserveBlocks / 8))
  }

  /// Frames that changed nodes may take with the table blocks above them, copies of them on their way to the
  /// device included: what dirty pages, an operation, a step of a job, and the pins of one request and one
  /// job leave of the cache. A node in the store's loose ones counts twice, for the table block that may have
  /// to be read and changed for it.
  var nodeBudget: Int {
    let others = Waiting.framesPerOperation + Waiting.framesForJobs + 2 * Waiting.pinsPerWaiter + 32
    return min(Int(memory.frameCount) * 3 / 4 - others, 32768)
  }

  private var nodeFrames: Int {
    nodes.dirtyCount + nodes.looseCount + nodes.frozenCount + nodes.log.blocksInFlight
      + nodes.pendingFreeCount
  }

  /// Whether nodes may be changed now that were not before; if not, a checkpoint has to make room.
  var mayDirtyNodes: Bool {
    !waiting.holdsChanges && nodes.dirtyCount + nodes.frozenCount <= 2 * dirtyNodeLimit
      && nodeFrames <= nodeBudget
  }

  /// Whether so many nodes have changed that a checkpoint ought to begin.
  var hasManyDirtyNodes: Bool { nodes.dirtyCount > dirtyNodeLimit || nodeFrames > nodeBudget / 4 * 3 }

  /// Dirty nodes at which a checkpoint begins.
  var dirtyNodeLimit: Int {
    Int(clamping: min(min(UInt64(memory.frameCount / 4), 8192), reserveBlocks / 8))
  }

  /// Log blocks at which a checkpoint begins; this bounds the time of a mount, and what the log holds at
  /// most.
  var checkpointLogLimit: UInt64 {
    let wanted = options.checkpointBlocks == 0 ? 65536 : options.checkpointBlocks
    return min(wanted, max(reserveBlocks / 3, UInt64(volume.geometry.segmentBlocks)))
  }

  // MARK: Free segments

  /// Segments that a chain begun anew takes, at a mount or after a failed log write, and one more.
  private static let segmentsOfChain = 3
  /// Nodes, beside the maps of its pages, that a request changes at most: setting a long attribute the most.
  private static let nodesPerRequest = 40
  /// Log blocks that the records of a request take, and what may be left unused at a segment's end.
  private static let recordBlocksPerRequest = 32

  /// Free segments that may be needed to write all that is dirty, and `pages` pages more, and a checkpoint of
  /// it all.
  ///
  /// What is left of segments that heads have begun does not count: a mount begins anew.
  func segmentDemand(pages newPages: Int = 0, nodes newNodes: Int = 0) -> Int {
    let dirtyPages = pages.dirtyCount + newPages
    // Each log write has a header and up to 257 blocks, and may leave a few blocks of a segment unused.
    let logBlocks =
      (dirtyPages + uncommitted.records.bytes.count / Page.size + 2) * 33 / 32
      + Self.recordBlocksPerRequest
    // A page that becomes dirty may change a node of its file's map; only those that a failed log write left
    // can do so later.
    let nodesInUse = Int(clamping: nodes.inodes.root.used &+ nodes.internals.root.used)
    let maps = min(!log.hasFailures ? newPages : dirtyPages, nodesInUse)
    let changed = nodes.dirtyCount + nodes.frozenCount + newNodes + maps
    let tables = min(
      3 * (changed + nodes.pendingFreeCount), tableBlocks(nodes.inodes) + tableBlocks(nodes.internals))
    let nodeBlocks = (changed + tables) * 128 / 127 + 4
    return segments(for: logBlocks, waste: 16) + segments(for: nodeBlocks, waste: 2) + Self.segmentsOfChain
  }

  private func segments(for blocks: Int, waste: Int) -> Int {
    let room = Int(volume.geometry.segmentBlocks) - waste
    return (blocks + room - 1) / room
  }

  /// Blocks that a table has at most.
  private func tableBlocks(_ table: NodeTable) -> Int {
    (1...max(UInt64(table.root.height), 1)).reduce(0) {
      $0 + Int(clamping: table.root.limit >> (8 * $1)) + 1
    }
  }

  /// Free segments beyond the demand that are kept for those who give space: the cleaner, which needs room
  /// for at least one victim, its maps and what is not filled of their segments, and twice as many for the
  /// cleaner and whatever removes.
  private static let leastCleanerRoom = 4
  private var cleanerRoom: Int { max(Self.leastCleanerRoom, Int(clamping: reserveSegments / 8)) }

  /// Free segments that suffice whatever is dirty: no more nodes, pages and frees than the cache has frames,
  /// each node with all the table blocks that may change for it.
  private var ampleSegments: Int {
    let blocks = 8 * Int(memory.frameCount) + 2 * Waiting.framesPerOperation + LogWrite.maximumBlocks
    return (blocks >> volume.geometry.segmentBlocks.trailingZeroBitCount) * 5 / 4 + 2 * cleanerRoom + 16
  }

  /// Whether free segments are short for those who take space, or, with `givesSpace`, even for those who give
  /// it.
  func isShortOfSegments(_ demand: Int, givesSpace: Bool = false) -> Bool {
    segments.freeCount <= demand + (givesSpace ? cleanerRoom : 2 * cleanerRoom)
  }

  /// Whether the cleaner works without being asked.
  var wantsCleaning: Bool {
    segments.freeCount < segmentDemand() + 3 * cleanerRoom
  }

  /// Makes a request that writes `pages` pages wait while segments are short.
  /// - Throws: `again` while checkpoints or the cleaner may free segments; `ENOSPC` when they cannot, which
  ///   only damage can bring about.
  func waitForSegments(pages: Int = 0, givesSpace: Bool = false) throws(Stop) {
    guard segments.freeCount <= ampleSegments else { return }
    let demand = segmentDemand(pages: pages, nodes: Self.nodesPerRequest)
    guard isShortOfSegments(demand, givesSpace: givesSpace) else { return }
    if segments.isExhausted {
      // The cleaner has no use for its room.
      guard segments.freeCount <= demand else { return }
      guard isChanged else { throw .fail(ENOSPC) }
      waiting.askForCheckpoint()
    }
    waiting.askForSegments()
    throw .again(.segments)
  }

  // MARK: Beginning a change

  /// Whether there is anything that the last checkpoint does not hold.
  var isChanged: Bool {
    nodes.dirtyCount > 0 || pages.dirtyCount > 0 || uncommitted.hasRecords || nodes.hasPendingFrees
      || log.blocksSinceCut > 0
  }

  /// Whether a checkpoint ought to be made.
  var needsCheckpoint: Bool {
    waiting.wantsCheckpoint || hasManyDirtyNodes || log.blocksSinceCut > checkpointLogLimit
  }

  // MARK: Invariants

  func checkInvariants(_ invariants: inout Invariants) {
    // What removes takes a few blocks for the orphan directory, whatever is left.
    let most = capacity + reserveBlocks
    invariants.expect(usedBlocks <= most, "\(usedBlocks) blocks are taken of \(most)")
  }
}
