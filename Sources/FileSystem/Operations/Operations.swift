import FileProtocol
import Format
import Glibc

/// What the kernel asks for: each operation finds what it needs, checks what is asked, and makes the change
/// or answers.
///
/// Owns nothing of the filesystem; how far a request has come is in its cursor. It promises that an operation
/// either replies, or throws before it has changed anything: it prepares all that it needs, makes its change
/// by a record in one event, and only then answers.
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
  /// Requests that were run again because something was missing or there was no room.
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

  /// Runs requests again that can go on, as many as one event has time for.
  func runRunnable() {
    while let slot = waiting.takeRunnable() { run(slot) }
    slots.releaseRepaid()
  }

  /// Runs the request in `slot` from its beginning; it replies, waits for reads, or is to be run again.
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
        // Nothing is freed that the kernel knows: an inode that is not there is damage.
        let shown = code == ESTALE ? EIO : code
        pages.loseStores(requests[slot], shown)
        slots.finish(slot, failed: shown)
      }
    }
  }

  /// The reply in the slot is complete.
  @inline(__always)
  func finish(_ slot: Int) { slots.finish(slot) }

  /// Checks that a request may change something now, and makes room for what it will record.
  /// - Parameters:
  ///   - pages: pages that it may write.
  ///   - givesSpace: it frees blocks, or at least takes none; on a full disk it goes before others.
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

  /// Runs the request in `slot`; every operation replies, or throws before it changed anything.
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
