import Format
import Glibc

/// Frees what has no name any more, and what was cut off, in the background: a map node or so at a time.
///
/// Owns nothing; the queue is `FreeQueue`'s, and what is left to do is in the orphan directory, so that a
/// mount finds it. It promises that each step leaves the filesystem whole, and that an inode which the kernel
/// knows keeps what it has.
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

  /// Steps of freeing done at a time; each frees up to 256 blocks.
  private static let stepsAtATime = 16

  /// The kernel forgot an inode: when it has no name either, it is freed.
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
    // What is freed has to be written down too.
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
    // What is wrong with one of them is found when it is its turn.
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

  /// What is damaged stays an orphan, for fsck; no request waits for it any longer.
  private func giveUp(_ number: UInt64, _ code: Int32) {
    free.giveUp(number)
    errors.record(
      .checksum, "inode \(number) cannot be freed: it is damaged (\(ErrnoText.of(code))); run fsck.varve",
      inode: number,
      code: code)
  }

  /// Frees an inode that cannot be reached any more, with all that it has; a tree of blocks only begins to be
  /// freed, and of attributes a node at a time is.
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

  /// Nothing of a freed inode is kept in memory.
  private func forgetState(_ number: UInt64) {
    guard let state = states.find(number) else { return }
    uncommitted.forget(state)
    states.releaseIfUnused(state)
  }

  /// Frees numbers that operations gave up, unless a checkpoint is between its cut and its tables.
  /// - Returns: false when there is nothing to do, or it waits.
  func freeNumbersStep() -> Bool {
    guard nodes.hasPendingFrees, !condition.isReadOnly else { return false }
    return attempt { () throws(Stop) in
      try nodes.processFrees(nodes.inodes)
      try nodes.processFrees(nodes.internals)
      waiting.wakeStalled()
    }
  }

  /// Does a step as the job that frees. Damage that is not one inode's ends the walk over the orphan
  /// directory.
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
