import Format
import Glibc

/// A commit: writes everything to the log that was dirty when it began, a log write at a time.
struct Commit {
  fileprivate(set) var isUnderWay = false
  /// It is to end with a flush.
  fileprivate var isDurable = false
  /// Another commit is to follow it.
  fileprivate var isWantedAgain = false
  fileprivate(set) var number: UInt64 = 0
  /// How many inodes at the front of `Uncommitted.inodes` it still has to write.
  fileprivate var inodesLeft = 0
  /// When it began (ns, monotonic), and the last log write before it.
  fileprivate var began: UInt64 = 0
  fileprivate var beganAfter: UInt64 = 0
  /// The last log write of the last commit: a flush follows once it has ended.
  fileprivate(set) var target: UInt64 = 0
}

/// Writing dirty pages and records to the log, for a request that needs it or when a commit is due.
extension Log {
  /// Inodes whose pages one step of a commit writes, at most.
  private static let inodesPerStep = 16

  /// Begins a commit of everything that is dirty now, and not of what becomes dirty while it is under way.
  /// - Parameter isDurable: whether it ends with a flush; otherwise it only makes room in memory.
  func startCommit(isDurable: Bool) {
    guard !commit.isUnderWay else {
      if isDurable { commit.isWantedAgain = true }
      return
    }
    commit.isUnderWay = true
    commit.isDurable = isDurable
    commit.number += 1
    commit.inodesLeft = uncommitted.inodes.count
    commit.began = event.now.monotonic
    commit.beganAfter = lastSequence
  }

  /// Begins a commit if none is under way.
  /// - Returns: the number of a commit that includes everything that is dirty now.
  func commitOfNow() -> UInt64 {
    let isUnderWay = commit.isUnderWay
    startCommit(isDurable: true)
    return isUnderWay ? commit.number + 1 : commit.number
  }

  /// Whether commit `number` has ended.
  func hasEnded(commit number: UInt64) -> Bool {
    commit.number > number || (commit.number == number && !commit.isUnderWay)
  }

  /// Does a step of the commit: writes pages of a few inodes.
  /// - Returns: false when there is nothing to commit, or the commit waits.
  func commitStep() -> Bool {
    guard commit.isUnderWay else { return false }
    return attempt { () throws(Stop) in
      let chosen = Array(uncommitted.inodes.prefix(min(commit.inodesLeft, Self.inodesPerStep)))
      for state in chosen { uncommitted.takeShare(state, in: commit.number) }
      let hasRecords = uncommitted.hasRecords && lastSequence == commit.beganAfter
      if !chosen.isEmpty || hasRecords { try emit(chosen, sharing: true) }
      commit.inodesLeft -= uncommitted.passCommitted(chosen)
      // Freed inodes may have left the list meanwhile.
      commit.inodesLeft = max(0, min(commit.inodesLeft, uncommitted.inodes.count))
      if commit.inodesLeft == 0 { endCommit() }
    }
  }

  /// Does a step as the commit job. Damage met in it ends all writing.
  private func attempt(_ step: () throws(Stop) -> Void) -> Bool {
    switch waiting.attempt(.commit, step) {
    case .done: return true
    case .waits: return false
    case .failed(let code):
      errors.fail("the commit cannot go on: damage in the filesystem (\(ErrnoText.of(code)))")
      return false
    }
  }

  private func endCommit() {
    commit.isUnderWay = false
    if commit.isDurable || (uncommitted.inodes.isEmpty && !uncommitted.hasRecords) {
      uncommitted.committed(since: commit.began)
      commit.target = lastSequence
      flushIfWanted()
    }
    waiting.wakeStalled()
    guard commit.isWantedAgain else { return }
    commit.isWantedAgain = false
    startCommit(isDurable: true)
  }

  /// Writes pages of a few inodes, those listed first, and all records: for a checkpoint being prepared.
  func emitSome() throws(Stop) {
    let chosen = Array(uncommitted.inodes.prefix(Self.inodesPerStep))
    try emit(chosen)
    for state in chosen { uncommitted.endShare(state) }
    commit.inodesLeft = max(0, commit.inodesLeft - uncommitted.passCommitted(chosen))
  }

  /// Writes one inode's pages, and all records, in one log write.
  private func commitInode(_ number: UInt64, isDurable: Bool = false) throws(Stop) {
    guard let state = states.find(number) else { return try emit([], isDurable: isDurable) }
    try emit([state], isDurable: isDurable)
    uncommitted.unlistIfCommitted(state)
  }

  /// Writes an inode's pages that were dirty when the running request first called this, and all records; one
  /// log write in each run of the request.
  /// - Throws: `again` until they are in log writes (those already written stay written); `EIO` when writes
  ///   to the file were lost, now or since the kernel looked the inode up.
  func commitPages(_ number: UInt64, isDurable: Bool = false) throws(Stop) {
    waiting.cursor.pagesUntil = waiting.cursor.pagesUntil ?? pages.lastDirtied
    try commitInode(number, isDurable: isDurable)
    waiting.releasePins()
    if !hasCommittedPages(number) { throw .again(.share) }
    try refuseLost(number)
  }

  /// - Throws: the error of writes to the inode that were lost, now or since the kernel looked it up.
  private func refuseLost(_ number: UInt64) throws(Stop) {
    guard let state = states.find(number) else { return }
    if states[state].lost.hasPages { throw .fail(EIO) }
    let code = states[state].lost.storeError
    if code != 0 { throw .fail(code) }
  }

  /// Whether the inode's pages that were dirty when the request first called `commitPages` are in log writes.
  private func hasCommittedPages(_ number: UInt64) -> Bool {
    guard let until = waiting.cursor.pagesUntil else { return false }
    guard let state = states.find(number), states[state].pages.dirty.count > 0 else { return true }
    return cache[states[state].pages.dirty.first].dirtied > until
  }

  /// When a background commit has to begin; `UInt64.max` when there is nothing to commit.
  var commitDeadline: UInt64 {
    uncommitted.oldestChange == 0 || commit.isUnderWay
      ? .max : uncommitted.oldestChange &+ options.commitInterval
  }

  /// Before a record that sets a file's size to `size`: writes the file's dirty pages first where the log has
  /// only a smaller size. A crash with the record and without the pages would show zeros instead of either
  /// contents.
  func commitBeforeResize(_ inode: Inode, to size: UInt64) throws(Stop) {
    guard let state = states.find(inode.number), size > states[state].log.loggedSize else { return }
    try commitIfDirty(inode)
  }

  /// Before a rename that replaces another file: writes the dirty pages of the file that is renamed.
  /// - Throws: `again` until they are in log writes; the error of writes to that file that were lost.
  func commitBeforeReplacing(_ inode: Inode) throws(Stop) {
    guard inode.isRegular else { return }
    try commitIfDirty(inode)
    try refuseLost(inode.number)
  }

  private func commitIfDirty(_ inode: Inode) throws(Stop) {
    guard let state = states.find(inode.number),
      states[state].pages.dirty.count > 0 || states[state].log.hasUnloggedWrites,
      !hasCommittedPages(inode.number)
    else { return }
    try commitPages(inode.number)
  }

  // MARK: Borrowed pages

  /// Log writes of borrowed pages in one event, at most.
  private static let borrowedWritesPerEvent = 4

  /// Whether borrowed pages are to be written, and can be now.
  var wantsToWriteBorrowed: Bool { pages.firstBorrower != nil && !isBroken && !waiting.isWaiting(.commit) }

  /// Writes the files with borrowed pages, so that their slots are soon free.
  /// - Returns: whether there is more to write that can be written now.
  func writeBorrowed() -> Bool {
    guard !condition.isStopping, !condition.isReadOnly else { return false }
    for _ in 0..<Self.borrowedWritesPerEvent where !event.isSpent {
      guard let number = pages.firstBorrower else { return false }
      let isDone = attempt { () throws(Stop) in
        try commitInode(number)
        guard let state = states.find(number), states[state].pages.dirty.count > 0 else {
          return pages.removeFirstBorrower()
        }
      }
      guard isDone else { return false }
    }
    return pages.firstBorrower != nil
  }
}
