import Format
import Glibc

/// The background job that frees inodes without a name and detached trees, a map node or so at a time; and
/// that clears the table entries of freed node numbers.
///
/// Owns nothing; the queue is in `FreeQueue`, and on the device the orphan directory holds what is left to
/// free, so that a mount finds it. It promises that each step leaves the filesystem consistent, and that an
/// inode which the kernel still has looked up keeps its contents.
final class Freeing {
  private let event: Event
  private let waiting: Waiting
  private let condition: Condition
  private let errors: Errors
  private let segments: SegmentTable
  private let cache: Cache
  private let nodes: NodeStore
  private let pages: Pages
  private let states: InodeStates
  private let uncommitted: Uncommitted
  private let directories: Directories
  private let attributes: ExtendedAttributes
  private let contents: FileContents
  private let space: Space
  private let free: FreeQueue

  init(contents: FileContents, attributes: ExtendedAttributes, space: Space, condition: Condition) {
    self.contents = contents
    self.attributes = attributes
    self.space = space
    self.condition = condition
    free = contents.free
    directories = contents.directories
    pages = contents.pages
    states = contents.states
    uncommitted = contents.uncommitted
    nodes = contents.nodes
    cache = nodes.cache
    event = nodes.event
    waiting = nodes.waiting
    errors = nodes.errors
    segments = nodes.segments
  }

  /// Freeing steps in one step of the job, at most; each frees up to 256 blocks.
  private static let stepsAtATime = 16

  /// The kernel has forgotten an inode: if it has no name either, it is queued to be freed.
  func lastLookupGone(_ state: Int) {
    let number = states[state].number
    let isOrphan = states[state].kernel.takeOrphan()
    states.releaseIfUnused(state)
    if isOrphan { free.add(number) }
  }

  /// Frees a little of the first inode in the queue.
  /// - Returns: false when there is nothing to do, or it waits.
  func step() -> Bool {
    guard !free.isIdle, !condition.isStopping, !condition.isReadOnly, space.mayDirtyNodes else {
      return false
    }
    // Freeing also dirties nodes, which need free segments to be written.
    guard !space.isShortOfSegments(space.segmentDemand(), givesSpace: true) || segments.isExhausted else {
      waiting.askForSegments()
      return false
    }
    return attempt { () throws(Stop) in
      if let cookie = free.scanCookie { try scanOrphans(after: cookie) }
      for _ in 0..<Self.stepsAtATime where !event.isSpent && space.mayDirtyNodes {
        guard let number = free.next else { break }
        do throws(Stop) {
          try readOrphansAhead(number)
          try nodes.prepareNodes(FileMap.nodesPerWrite)
          try directories.loadOrphan(number)
          try freeStep(number)
        } catch .fail(let code) { giveUp(number, code) }
      }
      waiting.wakeStalled()
    }
  }

  /// After a mount: queues what the orphan directory holds, a leaf at a time.
  private func scanOrphans(after cookie: UInt64) throws(Stop) {
    let orphans = try nodes.inode(NodeID.orphans)
    var next: UInt64?
    var found = 0
    try directories.forEachName(orphans, after: cookie) { record throws(Stop) in
      free.add(record.node.number)
      next = record.key
      found += 1
      return found < 64
    }
    free.scan(after: found < 64 ? nil : next)
  }

  /// When the inode that comes next is not in memory, it is read together with those after it.
  private func readOrphansAhead(_ number: UInt64) throws(Stop) {
    guard cache.find(NodeKey(.inode, number)) == .none else { return }
    // An error in one of them is met again, and handled, when its turn comes.
    for number in free.next(Waiting.readsAhead) {
      _ = try? nodes.inode(number)
      try? directories.loadOrphan(number)
    }
    guard !waiting.isMissing else { throw .again(.read) }
  }

  /// One step of freeing an inode; takes it out of the queue when there is nothing more to free.
  private func freeStep(_ number: UInt64) throws(Stop) {
    let inode = try nodes.inode(number)
    if inode.detachedRoot != 0 { return try contents.freeDetachedStep(inode) }
    if inode.links > 0 {
      waiting.beginChanges()
      try directories.removeOrphan(number)
      free.remove(number)
    } else if states.find(number).map({ states[$0].kernel.lookups > 0 }) ?? false {
      free.remove(number)
    } else {
      guard pages.dropSome(inode) else { return }
      try freeOrphan(inode)
    }
  }

  /// Gives up a damaged inode: it stays an orphan, for fsck.varve, and no request waits for its space.
  private func giveUp(_ number: UInt64, _ code: Int32) {
    free.giveUp(number)
    errors.record(
      .checksum, "inode \(number) cannot be freed: it is damaged (\(ErrnoText.of(code))); run fsck.varve",
      inode: number,
      code: code)
  }

  /// Does a step of freeing an inode without a name: detaches its tree of blocks, frees one node of
  /// attributes, or, when nothing else is left, frees the inode.
  func freeOrphan(_ inode: Inode) throws(Stop) {
    let number = inode.number
    if inode.layout == .node, inode.isDirectory { return try directories.removeLastLeaf(inode) }
    waiting.beginChanges()
    if inode.layout == .tree {
      try contents.cutMap(inode, to: 0)
      // A checkpoint may hold it like this, half freed.
      inode.size = 0
      return
    }
    if try attributes.freeAttributesStep(inode) { return }
    if inode.layout == .node {
      nodes.freeNode(.internalNode, inode.root)
    } else {
      try contents.cutMap(inode, to: 0)
    }
    try directories.removeOrphan(number)
    forgetState(number)
    nodes.freeNode(.inode, number)
    free.remove(number)
  }

  /// Removes the state of a freed inode.
  private func forgetState(_ number: UInt64) {
    guard let state = states.find(number) else { return }
    uncommitted.forget(state)
    states.releaseIfUnused(state)
  }

  /// Clears the table entries of freed node numbers. The caller does not call it between a checkpoint's cut
  /// and the end of writing its tables.
  /// - Returns: false when there is nothing to do, or it waits.
  func freeNumbersStep() -> Bool {
    guard nodes.hasPendingFrees, !condition.isReadOnly else { return false }
    return attempt { () throws(Stop) in
      try nodes.processFrees(nodes.inodes)
      try nodes.processFrees(nodes.internals)
      waiting.wakeStalled()
    }
  }

  /// Does a step as the freeing job. Damage outside of a single inode ends the scan of the orphan directory.
  private func attempt(_ step: () throws(Stop) -> Void) -> Bool {
    let attempt = waiting.attempt(.freeing, step)
    if case .failed(let code) = attempt {
      errors.record(
        .checksum, "the freeing of files met damage (\(ErrnoText.of(code))); run fsck.varve", code: code)
      free.scan(after: nil)
    }
    return attempt == .done
  }
}
