import Format

/// Bringing what is in memory to the log, at somebody's wish or in time.
extension FileSystem {
  /// Inodes whose pages one step of a commit writes.
  private static let inodesPerStep = 16

  /// A commit begins of everything that there is now, however much comes while it is under way.
  /// - Parameter isDurable: whether it ends with a flush; else it only makes room in memory.
  func startCommit(isDurable: Bool) {
    guard !log.isCommitting else {
      if isDurable { log.isCommitWanted = true }
      return
    }
    log.isCommitting = true
    log.commitIsDurable = isDurable
    log.commitNumber += 1
    log.commitInodes = uncommitted.count
    log.commitBegan = now.monotonic
    log.commitBeganAfter = log.lastSequence
  }

  /// Writes the pages of a few inodes.
  /// - Returns: false when there is nothing to commit, or the commit waits.
  func commitStep() -> Bool {
    guard log.isCommitting else { return false }
    return attempt(.commit) { () throws(Stop) in
      let chosen = Array(uncommitted.prefix(min(log.commitInodes, Self.inodesPerStep)))
      for state in chosen { takeShare(state) }
      let hasRecords = log.hasRecords && log.lastSequence == log.commitBeganAfter
      if !chosen.isEmpty || hasRecords { try emit(chosen, sharing: true) }
      log.commitInodes -= passCommitted(chosen)
      // Others may have left the list meanwhile.
      log.commitInodes = max(0, min(log.commitInodes, uncommitted.count))
      guard log.commitInodes == 0 else { return }
      endCommit()
    }
  }

  /// What an inode has to write in this commit is what it has when the commit comes to it.
  private func takeShare(_ state: Int) {
    guard states.slots[state].commitNumber != log.commitNumber else { return }
    states.slots[state].commitNumber = log.commitNumber
    states.slots[state].commitShare = states.slots[state].dirty.count
  }

  /// Takes the inodes out of the front of the list that have written their share; those that have become dirty again go to its end.
  /// - Returns: how many.
  private func passCommitted(_ chosen: [Int]) -> Int {
    var kept: [Int] = []
    var again: [Int] = []
    var clean: [Int] = []
    for state in chosen {
      if states.slots[state].dirty.count == 0, !states.slots[state].hasUnloggedWrites {
        clean.append(state)
      } else if states.slots[state].commitShare == 0 {
        again.append(state)
      } else {
        kept.append(state)
      }
    }
    guard kept.count < chosen.count else { return 0 }
    uncommitted.replaceSubrange(0..<chosen.count, with: kept)
    uncommitted.append(contentsOf: again)
    for state in clean {
      states.slots[state].isListed = false
      states.releaseIfUnused(state)
    }
    return chosen.count - kept.count
  }

  private func endCommit() {
    log.isCommitting = false
    let isClean = uncommitted.isEmpty && !log.hasRecords
    if log.commitIsDurable || isClean {
      log.oldestChange = isClean ? 0 : max(log.commitBegan, 1)
      log.commitTarget = log.lastSequence
      flushIfWanted()
    }
    wakeStalled()
    guard log.isCommitWanted else { return }
    log.isCommitWanted = false
    startCommit(isDurable: true)
  }

  /// Writes pages and records of a few inodes, those listed first.
  func emitSome() throws(Stop) {
    let chosen = Array(uncommitted.prefix(Self.inodesPerStep))
    try emit(chosen)
    for state in chosen { states.slots[state].commitShare = 0 }
    log.commitInodes = max(0, log.commitInodes - passCommitted(chosen))
  }

  /// Writes one inode's pages, and all records, in one log write.
  func commitInode(_ number: UInt64, isDurable: Bool = false) throws(Stop) {
    guard let state = states.find(number) else { return try emit([], isDurable: isDurable) }
    try emit([state], isDurable: isDurable)
    unlistIfCommitted(state)
  }

  /// Writes an inode's pages that were dirty when the request at hand first came here, and all records: a log write each time.
  /// - Throws: `again` until they are written; what was written stays so.
  func commitPages(_ number: UInt64, isDurable: Bool = false) throws(Stop) {
    let slot = currentWaiter
    slots[slot].pagesUntil = slots[slot].pagesUntil ?? lastDirtied
    try commitInode(number, isDurable: isDurable)
    releasePins()
    if !hasCommittedPages(slot, number) { throw goOn() }
  }

  /// Whether the pages of an inode that were dirty when the request first asked for them to be written have been.
  func hasCommittedPages(_ slot: Int, _ number: UInt64) -> Bool {
    guard let until = slots[slot].pagesUntil else { return false }
    guard let state = states.find(number), states.slots[state].dirty.count > 0 else { return true }
    return cache.frames[Int(states.slots[state].dirty.first)].dirtied > until
  }

  private func unlistIfCommitted(_ state: Int) {
    guard states.slots[state].isListed, states.slots[state].dirty.count == 0,
      !states.slots[state].hasUnloggedWrites
    else { return }
    states.slots[state].isListed = false
    if uncommitted.last == state {
      uncommitted.removeLast()
    } else {
      uncommitted.removeAll { $0 == state }
    }
    states.releaseIfUnused(state)
  }

  /// When a background commit has to begin; `UInt64.max` when there is nothing to commit.
  var commitDeadline: UInt64 {
    log.oldestChange == 0 || log.isCommitting ? .max : log.oldestChange &+ options.commitInterval
  }

  /// A record is about to give a file the size `size`. Data that was written below it and that the log does not hold goes
  /// first: a crash between the two would show zeros instead of either contents.
  func commitBeforeResize(_ inode: Inode, to size: UInt64) throws(Stop) {
    guard let state = states.find(inode.number), size > states.slots[state].loggedSize,
      states.slots[state].dirty.count > 0 || states.slots[state].hasUnloggedWrites
    else { return }
    guard !hasCommittedPages(currentWaiter, inode.number) else { return }
    try commitForCaller(inode.number)
  }

  /// Checks that a request may change something now, and makes room for what it will record.
  /// - Parameters:
  ///   - pages: pages that it may write.
  ///   - givesSpace: it frees blocks, or at least takes none; on a full disk it goes before others.
  func beginChange(pages: Int = 0, givesSpace: Bool = false) throws(Stop) {
    guard !isStopping else { throw .fail(isReadOnly ? Code.readOnly : Code.io) }
    try requireWritable()
    guard !log.isBroken else { throw .again }
    guard mayDirtyNodes else {
      checkpoint.isWanted = true
      throw .again
    }
    try waitForSegments(pages: pages, givesSpace: givesSpace)
    if mustEmit { try emit([]) }
  }
}
