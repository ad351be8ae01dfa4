import Format

/// Bringing what is in memory to the log, at somebody's wish or in time.
extension FileSystem {
  /// Inodes whose pages one step of a commit writes.
  private static let inodesPerStep = 16

  /// A commit of everything begins, unless one is under way.
  func startCommit() { log.isCommitting = true }

  /// Writes the pages of a few inodes.
  /// - Returns: false when there is nothing to commit, or the commit waits.
  func commitStep() -> Bool {
    guard log.isCommitting else { return false }
    return attempt(.commit) { () throws(Stop) in
      try emitSome(atMost: 1)
      guard uncommitted.isEmpty, !log.hasRecords else { return }
      log.isCommitting = false
      log.oldestChange = 0
      log.commitTarget = log.lastSequence
      flushIfWanted()
    }
  }

  /// Writes pages and records of a few inodes, those listed first, in at most `limit` log writes.
  func emitSome(atMost limit: Int = .max) throws(Stop) {
    let chosen = Array(uncommitted.prefix(Self.inodesPerStep))
    try emit(chosen, atMost: limit)
    for state in chosen { unlistIfCommitted(state) }
  }

  /// Writes one inode's pages, and all records, in at most `limit` log writes.
  func commitInode(_ number: UInt64, isDurable: Bool = false, atMost limit: Int = .max) throws(Stop) {
    guard let state = states.find(number) else { return try emit([], isDurable: isDurable) }
    try emit([state], isDurable: isDurable, atMost: limit)
    unlistIfCommitted(state)
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
    try commitForCaller(inode.number)
  }

  /// Checks that a request may change something now, and makes room for what it will record.
  /// - Parameters:
  ///   - pages: pages that it may write.
  ///   - givesSpace: it frees blocks, or at least takes none; on a full disk it goes before others.
  func beginChange(pages: Int = 0, givesSpace: Bool = false) throws(Stop) {
    guard !isReadOnly else { throw .fail(Code.readOnly) }
    guard !isStopping else { throw .fail(Code.io) }
    guard !log.isBroken else { throw .again }
    if dirtyNodes.count + frozenNodes.count > 2 * dirtyNodeLimit {
      checkpoint.isWanted = true
      throw .again
    }
    try waitForSegments(pages: pages, givesSpace: givesSpace)
    if mustEmit { try emit([]) }
  }
}
