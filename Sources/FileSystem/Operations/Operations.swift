import FileProtocol
import Format
import Glibc

/// The FUSE operations: each loads what it needs, checks its arguments, then makes its change or fills in its
/// reply.
///
/// Owns only a count of reruns; it writes each inode's `KernelView`, and how far a request has come is in its
/// `Cursor`. It promises that an operation either replies, or throws before it has changed anything that a
/// rerun does not expect: it prepares everything first, then makes its change by a record in one event, and
/// only then replies.
///
/// `Space` fixes how many nodes one request may change (`nodesPerRequest`).
final class Operations {
  let requests: UnsafeMutablePointer<Request>
  let replies: UnsafeMutablePointer<Reply>
  let slots: RequestSlots
  let cache: Cache
  let event: Event
  let waiting: Waiting
  let condition: Condition
  let volume: Volume
  let loader: Loader
  let nodes: NodeStore
  let map: FileMap
  let pages: Pages
  let states: InodeStates
  let uncommitted: Uncommitted
  let directories: Directories
  let attributes: ExtendedAttributes
  let contents: FileContents
  let changes: Changes
  let log: Log
  let space: Space
  let reads: SlotReads
  let recovery: Recovery
  let options: Options
  /// Runs of requests that ended because a block was missing or there was no room, and were repeated.
  private(set) var reruns: UInt64 = 0

  init(
    slots: RequestSlots, changes: Changes, contents: FileContents, attributes: ExtendedAttributes,
    space: Space,
    log: Log, reads: SlotReads, recovery: Recovery
  ) {
    self.slots = slots
    self.changes = changes
    self.contents = contents
    self.attributes = attributes
    self.space = space
    self.log = log
    self.reads = reads
    self.recovery = recovery
    requests = slots.requests
    replies = slots.replies
    condition = log.condition
    options = log.options
    directories = contents.directories
    pages = contents.pages
    states = contents.states
    uncommitted = contents.uncommitted
    map = pages.map
    nodes = map.nodes
    cache = nodes.cache
    event = nodes.event
    waiting = nodes.waiting
    volume = nodes.volume
    loader = nodes.loader
  }

  // MARK: Running requests

  /// A request has arrived in a slot.
  @inline(__always)
  func begin(_ slot: Int) {
    waiting.begin(slot)
    slots.begin(slot)
    reads.begin(slot)
    run(slot)
  }

  /// Runs the requests that can go on, as many as one event has time for.
  func runRunnable() {
    while let slot = waiting.takeRunnable() { run(slot) }
    slots.releaseRepaid()
  }

  /// Runs the request in `slot` from its beginning: it replies, or waits to be run again.
  private func run(_ slot: Int) {
    waiting.enter(slot)
    do throws(Stop) {
      guard condition.failure == nil else { throw .fail(EIO) }
      guard condition.isReady else {
        // See `Recovery.requireWritable`.
        waiting.unpin(slot)
        throw .again(.mount)
      }
      guard cache.reserve(Waiting.framesPerOperation + Waiting.framesForJobs) else {
        waiting.letGo(mayKeep: true)
        throw .again(.memory)
      }
      waiting.planMiss()
      try dispatch(slot)
      waiting.unpin(slot)
    } catch {
      switch error {
      case .again(let reason):
        reruns += 1
        waiting.suspend(slot, reason)
      case .fail(let code):
        waiting.unpin(slot)
        waiting.stopWaiting(slot)
        // An inode that the kernel has looked up is never freed, so a missing one is damage.
        let shown = code == ESTALE ? EIO : code
        pages.loseStores(requests[slot], shown)
        slots.finish(slot, failed: shown)
      }
    }
  }

  /// The reply in the slot is complete.
  @inline(__always)
  func finish(_ slot: Int) { slots.finish(slot) }

  /// Checks that a request may make a change now, and that there is room for its records.
  /// - Parameters:
  ///   - pages: pages that it may write, at most.
  ///   - givesSpace: it frees blocks, or at least takes none; it may use free segments kept for that.
  func beginChange(pages: Int = 0, givesSpace: Bool = false) throws(Stop) {
    guard !condition.isStopping else { throw .fail(condition.isReadOnly ? EROFS : EIO) }
    try recovery.requireWritable()
    guard !log.isBroken else { throw .again(.checkpoint) }
    guard space.mayDirtyNodes else {
      waiting.askForCheckpoint()
      throw .again(.checkpoint)
    }
    try space.waitForSegments(pages: pages, givesSpace: givesSpace)
    if log.mustEmit { try log.emit([]) }
  }

  /// Calls the operation of the request in `slot`.
  func dispatch(_ slot: Int) throws(Stop) {
    let request = requests[slot]
    switch request.operation {
    case .lookup: try lookup(slot)
    case .getattr: try getAttributes(slot)
    case .setattr: try setAttributes(slot)
    case .readlink: try readLink(slot)
    case .mknod: try makeAndReply(slot, mode: request.mode)
    case .mkdir: try makeAndReply(slot, mode: (request.mode & 0o7777) | 0o040000)
    case .symlink: try makeAndReply(slot, mode: 0o120777)
    case .unlink: try unlink(slot, isDirectory: false)
    case .rmdir: try unlink(slot, isDirectory: true)
    case .link: try link(slot)
    case .rename: try rename(slot)
    case .open: try open(slot)
    case .create: try create(slot)
    case .createUnnamed: try createUnnamed(slot)
    case .read: try read(slot)
    case .write: try write(slot)
    case .flush, .releasedir: finish(slot)
    case .release: try release(slot)
    case .fsync, .fsyncdir: try sync(slot, request.node)
    case .opendir: try openDirectory(slot)
    case .readdir: try readDirectory(slot, full: false)
    case .readdirplus: try readDirectory(slot, full: true)
    case .statfs:
      replies[slot].space = space.report
      finish(slot)
    case .syncfs: try syncAll(slot)
    case .setxattr: try setExtendedAttribute(slot)
    case .getxattr: try getExtendedAttribute(slot)
    case .listxattr: try listExtendedAttributes(slot)
    case .removexattr: try removeExtendedAttribute(slot)
    case .fallocate: try allocate(slot)
    case .lseek: try seek(slot)
    }
  }
}
