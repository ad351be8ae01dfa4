import Format

/// Freeing of what has no name any more, in the background.
struct Reclaim {
  /// Inode numbers to be worked on.
  var queue: [UInt64] = []
  var queued: Set<UInt64> = []
  /// Inodes that cannot be freed because they are damaged: fsck's business.
  var damaged: Set<UInt64> = []
  /// After a mount: where the walk over the orphan directory goes on; nil when it is done.
  var scanCookie: UInt64?

  var isIdle: Bool { queue.isEmpty && scanCookie == nil }
}

extension FileSystem {
  /// Steps of freeing done at a time; each frees up to 256 blocks.
  private static let stepsAtATime = 16

  /// An inode has something to be freed.
  func enqueueReclaim(_ number: UInt64) {
    guard !isReadOnly, !reclaim.damaged.contains(number), reclaim.queued.insert(number).inserted else {
      return
    }
    reclaim.queue.append(number)
  }

  /// The kernel forgot an inode: when it has no name either, it is freed.
  func lastLookupGone(_ state: Int) {
    let number = states.slots[state].number
    let isOrphan = states.slots[state].isOrphan
    states.slots[state].isOrphan = false
    states.releaseIfUnused(state)
    if isOrphan { enqueueReclaim(number) }
  }

  /// Frees a little of the first inode in the queue.
  /// - Returns: false when there is nothing to do, or it waits.
  func reclaimStep() -> Bool {
    guard !reclaim.isIdle, !isStopping, !isReadOnly, mayDirtyNodes else {
      return false
    }
    // What is freed has to be written down too.
    guard !isShortOfSegments(segmentDemand(), givesSpace: true) || isExhausted else {
      cleaner.isWanted = true
      return false
    }
    return attempt(.reclaim) { () throws(Stop) in
      if let cookie = reclaim.scanCookie { try scanOrphans(after: cookie) }
      for _ in 0..<Self.stepsAtATime where !isSpent && mayDirtyNodes {
        guard let number = reclaim.queue.last else { break }
        do throws(Stop) {
          try readOrphansAhead(number)
          try prepareNodes(Self.nodesPerWrite)
          try loadOrphan(number)
          try free(number)
        } catch .fail(let code) { giveUp(number, code) }
      }
      wakeStalled()
    }
  }

  /// After a mount: queues what the orphan directory holds, a leaf at a time.
  private func scanOrphans(after cookie: UInt64) throws(Stop) {
    let orphans = try inode(NodeID.orphans)
    var next: UInt64?
    var found = 0
    try forEachName(orphans, after: cookie) { record throws(Stop) in
      enqueueReclaim(record.node.number)
      next = record.key
      found += 1
      return found < 64
    }
    reclaim.scanCookie = found < 64 ? nil : next
  }

  /// When the inode that comes next is not in memory, it is read together with those after it.
  private func readOrphansAhead(_ number: UInt64) throws(Stop) {
    guard cache.find(NodeKey(.inode, number)) == .none else { return }
    // What is wrong with one of them is found when it is its turn.
    for number in reclaim.queue.suffix(Self.readsAhead) {
      _ = try? inode(number)
      try? loadOrphan(number)
    }
    guard waiters[currentWaiter].missing == 0 else { throw .again }
  }

  /// One step of freeing an inode; takes it out of the queue when there is nothing more to free.
  private func free(_ number: UInt64) throws(Stop) {
    let inode = try inode(number)
    if inode.detachedRoot != 0 { return try freeDetachedStep(inode) }
    if inode.links > 0 {
      beginChanges()
      try removeOrphan(number)
      dequeue(number)
    } else if states.find(number).map({ states.slots[$0].lookups > 0 }) ?? false {
      dequeue(number)
    } else {
      guard dropSomePages(inode) else { return }
      try freeOrphan(inode)
    }
  }

  /// What is damaged stays an orphan, for fsck; nobody waits for it any longer.
  private func giveUp(_ number: UInt64, _ code: Int32) {
    dequeue(number)
    reclaim.damaged.insert(number)
    noteError(
      .checksum, "inode \(number) cannot be freed: it is damaged (\(Code.text(code))); run fsck.varve",
      inode: number,
      code: code)
  }

  private func dequeue(_ number: UInt64) {
    if reclaim.queue.last == number {
      reclaim.queue.removeLast()
    } else {
      reclaim.queue.removeAll { $0 == number }
    }
    reclaim.queued.remove(number)
    if reclaim.queue.isEmpty { cleaner.unmovable.removeAll() }
  }

  /// Frees an inode that nobody can reach any more, with all that it has; a tree of blocks only begins to be
  /// freed, and of attributes a node at a time is.
  func freeOrphan(_ inode: Inode) throws(Stop) {
    let number = inode.number
    if inode.layout == .node, inode.isDirectory { return try removeLastLeaf(inode) }
    beginChanges()
    if inode.layout == .tree {
      try cutMap(inode, to: 0)
      // A checkpoint may hold it like this, half freed.
      inode.size = 0
      return
    }
    if try freeAttributesStep(inode) { return }
    if inode.layout == .node {
      freeNode(.internalNode, inode.root)
    } else {
      try cutMap(inode, to: 0)
    }
    try removeOrphan(number)
    forgetState(number)
    freeNode(.inode, number)
    dequeue(number)
  }

  /// Nothing of a freed inode is kept in memory.
  private func forgetState(_ number: UInt64) {
    guard let state = states.find(number) else { return }
    states.slots[state].hasUnloggedWrites = false
    states.slots[state].commitsOnClose = false
    if states.slots[state].isListed {
      states.slots[state].isListed = false
      uncommitted.removeAll { $0 == state }
    }
    states.releaseIfUnused(state)
  }
}
