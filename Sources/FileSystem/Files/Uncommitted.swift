import Format

/// Changes that are not in the log: records, and which inodes have pages, sizes or times to be written.
///
/// Owns the records made since the last log write, the urgent pages (which must be in the same log write),
/// the list of inodes with something to commit and each one's `LogView`, and the time of the oldest change.
/// It promises that records and the pages urgent for them are removed together, and that an inode is listed
/// as long as it has something to write.
final class Uncommitted {
  private let states: InodeStates
  private let event: Event
  /// Records that are in no log write yet.
  private(set) var records = RecordBuffer()
  /// Pages that must be in the same log write as `records`.
  private(set) var urgentPages: [PageName] = []
  /// Inodes with something to commit, as places in `InodeStates`, in the order in which they were listed.
  private(set) var inodes: [Int] = []
  /// When the oldest change that the log does not hold was made; 0 for none. Nanoseconds, monotonic.
  private(set) var oldestChange: UInt64 = 0

  init(states: InodeStates, event: Event) {
    self.states = states
    self.event = event
  }

  /// Whether a log write would have nothing to take.
  var isEmpty: Bool { inodes.isEmpty && !hasRecords && urgentPages.isEmpty }

  // MARK: Records

  var hasRecords: Bool { records.count > 0 }

  /// Adds the record of a change that was made; the next log write takes it.
  func append(_ record: LogRecord) {
    records.append(record)
    startClock()
  }

  /// Removes all records and urgent pages, which a log write has taken.
  func removeRecords() {
    records.removeAll()
    urgentPages.removeAll(keepingCapacity: true)
  }

  private func startClock() { if oldestChange == 0 { oldestChange = max(event.now.monotonic, 1) } }

  /// A commit that began at `begin` has ended: all changes before that are in the log.
  func committed(since begin: UInt64) {
    oldestChange = inodes.isEmpty && !hasRecords ? 0 : max(begin, 1)
  }

  // MARK: Urgent pages

  /// Makes a page urgent: it must be in the same log write as the records made so far.
  func addUrgent(_ page: PageName) { urgentPages.append(page) }

  /// Pages for which `condition` holds are no longer urgent.
  func removeUrgent(where condition: (PageName) -> Bool) { urgentPages.removeAll(where: condition) }

  // MARK: Inodes

  /// Lists an inode that has something to commit.
  @inline(__always)
  func list(_ state: Int) {
    startClock()
    guard !states[state].log.isListed else { return }
    states[state].log.isListed = true
    inodes.append(state)
  }

  /// Data or times of an inode have changed: it is to be recorded and listed.
  @inline(__always)
  func wrote(_ state: Int) {
    states[state].log.hasUnloggedWrites = true
    list(state)
  }

  /// Data of a file have changed that `Pages` has listed already.
  func wroteListed(_ state: Int) { states[state].log.hasUnloggedWrites = true }

  /// An inode's current size and times have been recorded.
  func logged(_ state: Int, size: UInt64) {
    states[state].log.loggedSize = size
    states[state].log.hasUnloggedWrites = false
  }

  /// A size has been recorded that covers the pages written with it; `isAll` when no dirty page is left.
  func logged(_ state: Int, growingTo size: UInt64, isAll: Bool) {
    states[state].log.loggedSize = max(states[state].log.loggedSize, size)
    if isAll { states[state].log.hasUnloggedWrites = false }
  }

  /// The writes to an inode were lost: there is nothing to record.
  func forgetWrites(_ state: Int) { states[state].log.hasUnloggedWrites = false }

  /// A record has set an inode's size.
  func setLoggedSize(_ number: UInt64, _ size: UInt64) {
    if let state = states.find(number) { states[state].log.loggedSize = size }
  }

  /// Marks an inode to be committed when it is closed.
  func commitOnClose(_ state: Int) { states[state].log.commitsOnClose = true }

  /// The inode was closed.
  /// - Returns: whether it is to be committed now.
  func takeCommitOnClose(_ state: Int) -> Bool {
    defer { states[state].log.commitsOnClose = false }
    return states[state].log.commitsOnClose && states[state].log.isListed
  }

  /// Removes an inode that is being freed.
  func forget(_ state: Int) {
    states[state].log.hasUnloggedWrites = false
    states[state].log.commitsOnClose = false
    if states[state].log.isListed { unlist(state) }
  }

  /// Takes an inode out of the list if it has nothing left to write.
  func unlistIfCommitted(_ state: Int) {
    guard states[state].log.isListed, states[state].pages.dirty.count == 0,
      !states[state].log.hasUnloggedWrites
    else { return }
    unlist(state)
    states.releaseIfUnused(state)
  }

  private func unlist(_ state: Int) {
    states[state].log.isListed = false
    if inodes.last == state {
      inodes.removeLast()
    } else {
      inodes.removeAll { $0 == state }
    }
  }

  // MARK: Commits

  /// Sets an inode's share in commit `number` when the commit first reaches it: its dirty pages at that
  /// moment.
  func takeShare(_ state: Int, in number: UInt64) {
    guard states[state].log.commitNumber != number else { return }
    states[state].log.commitNumber = number
    states[state].log.commitShare = states[state].pages.dirty.count
  }

  /// A page of an inode's share is in a log write.
  @inline(__always)
  func wroteShare(_ state: Int) {
    if states[state].log.commitShare > 0 { states[state].log.commitShare -= 1 }
  }

  /// Ends an inode's share, even if pages of it are left.
  func endShare(_ state: Int) { states[state].log.commitShare = 0 }

  /// Takes the inodes that have written their share out of the front of the list; those that have become
  /// dirty again go to its end.
  /// - Parameter chosen: the inodes at the front of the list that the commit has worked on.
  /// - Returns: how many have written their share.
  func passCommitted(_ chosen: [Int]) -> Int {
    var kept: [Int] = []
    var again: [Int] = []
    var clean: [Int] = []
    for state in chosen {
      if states[state].pages.dirty.count == 0, !states[state].log.hasUnloggedWrites {
        clean.append(state)
      } else if states[state].log.commitShare == 0 {
        again.append(state)
      } else {
        kept.append(state)
      }
    }
    guard kept.count < chosen.count else { return 0 }
    inodes.replaceSubrange(0..<chosen.count, with: kept)
    inodes.append(contentsOf: again)
    for state in clean {
      states[state].log.isListed = false
      states.releaseIfUnused(state)
    }
    return chosen.count - kept.count
  }

  // MARK: Invariants

  func checkInvariants(_ invariants: inout Invariants) {
    var listed = 0
    states.forEach { if states[$0].log.isListed { listed += 1 } }
    invariants.expect("inodes to be committed", listed, equals: inodes.count)
    invariants.expect("inodes to be committed, each once", Set(inodes).count, equals: inodes.count)
    invariants.expect(
      inodes.allSatisfy { states[$0].log.isListed }, "an inode in the commit list is not marked as listed")
    invariants.expect(
      isEmpty || oldestChange != 0, "something is to be committed, and the oldest change has no time")
  }
}

/// An inode's changes that the log does not hold.
struct LogView {
  /// The file's size as replaying the log would give it, in bytes. It follows `Inode.size` when pages are
  /// written out.
  fileprivate(set) var loggedSize: UInt64 = 0
  /// Data or times have changed since they were last recorded.
  fileprivate(set) var hasUnloggedWrites = false
  /// The inode is in `Uncommitted.inodes`.
  fileprivate(set) var isListed = false
  /// The file was truncated to nothing: its data is committed when it is closed.
  fileprivate(set) var commitsOnClose = false
  /// The last commit that has reached the inode, and how many of its pages that commit still has to write.
  fileprivate(set) var commitNumber: UInt64 = 0
  fileprivate(set) var commitShare = 0

  var isPending: Bool { hasUnloggedWrites || isListed || commitsOnClose }

  /// Sets the size that the log has.
  mutating func setLoggedSize(_ size: UInt64) { loggedSize = size }
}

/// Identifies a page: an inode's number and the block's index in it.
struct PageName: Equatable {
  var inode: UInt64
  var index: UInt64
}
