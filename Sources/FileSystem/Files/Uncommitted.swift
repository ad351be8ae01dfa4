import Format

/// What was changed and is not in the log: records, and which inodes have pages, sizes or times to be
/// written.
///
/// Owns the records made since the last log write, the pages that must go together with them, the list of
/// inodes with something to commit, and since when there is any of it. It promises that a log write takes all
/// records and urgent pages there are, and that an inode is listed as long as it has something to write.
final class Uncommitted {
  private let states: InodeStates
  private let event: Event
  /// Records made and not yet written.
  private(set) var records = RecordBuffer()
  /// Pages that must be in the same log write as the records made so far.
  private(set) var urgentPages: [PageName] = []
  /// Inodes with something to commit, as places in `InodeStates`, in the order in which they were listed.
  private(set) var inodes: [Int] = []
  /// When the oldest change that the log does not hold was made; 0 for none. Nanoseconds, monotonic.
  private(set) var oldestChange: UInt64 = 0

  init(states: InodeStates, event: Event) {
    self.states = states
    self.event = event
  }

  /// Whether there is nothing that a log write could take.
  var isEmpty: Bool { inodes.isEmpty && !hasRecords && urgentPages.isEmpty }

  // MARK: Records

  var hasRecords: Bool { records.count > 0 }

  /// Records a change that was made; it reaches the log with the next log write.
  func append(_ record: LogRecord) {
    records.append(record)
    startClock()
  }

  /// A log write holds all records and urgent pages.
  func removeRecords() {
    records.removeAll()
    urgentPages.removeAll(keepingCapacity: true)
  }

  private func startClock() { if oldestChange == 0 { oldestChange = max(event.now.monotonic, 1) } }

  /// A commit has ended that began at `begin`: all changes before that are in the log.
  func committed(since begin: UInt64) {
    oldestChange = inodes.isEmpty && !hasRecords ? 0 : max(begin, 1)
  }

  // MARK: Urgent pages

  /// A page must be in the same log write as the records made so far.
  func addUrgent(_ page: PageName) { urgentPages.append(page) }

  /// Urgent pages for which `condition` holds are urgent no more.
  func removeUrgent(where condition: (PageName) -> Bool) { urgentPages.removeAll(where: condition) }

  // MARK: Inodes

  /// An inode has something that the next commit must write.
  @inline(__always)
  func list(_ state: Int) {
    startClock()
    guard !states[state].log.isListed else { return }
    states[state].log.isListed = true
    inodes.append(state)
  }

  /// Data or times of an inode changed.
  @inline(__always)
  func wrote(_ state: Int) {
    states[state].log.hasUnloggedWrites = true
    list(state)
  }

  /// Data of a file changed that is listed by its pages.
  func wroteListed(_ state: Int) { states[state].log.hasUnloggedWrites = true }

  /// A record tells the size and times of an inode as they are.
  func logged(_ state: Int, size: UInt64) {
    states[state].log.loggedSize = size
    states[state].log.hasUnloggedWrites = false
  }

  /// A record tells a size that covers the pages written with it; `isAll` when those are all there are.
  func logged(_ state: Int, growingTo size: UInt64, isAll: Bool) {
    states[state].log.loggedSize = max(states[state].log.loggedSize, size)
    if isAll { states[state].log.hasUnloggedWrites = false }
  }

  /// What was written to an inode cannot be kept, or the inode goes.
  func forgetWrites(_ state: Int) { states[state].log.hasUnloggedWrites = false }

  /// A record gave an inode a size, where its state is known.
  func setLoggedSize(_ number: UInt64, _ size: UInt64) {
    if let state = states.find(number) { states[state].log.loggedSize = size }
  }

  /// The data of an inode goes out when it is closed.
  func commitOnClose(_ state: Int) { states[state].log.commitsOnClose = true }

  /// The inode was closed.
  /// - Returns: whether its data has to go out now.
  func takeCommitOnClose(_ state: Int) -> Bool {
    defer { states[state].log.commitsOnClose = false }
    return states[state].log.commitsOnClose && states[state].log.isListed
  }

  /// An inode that is freed has nothing to commit.
  func forget(_ state: Int) {
    states[state].log.hasUnloggedWrites = false
    states[state].log.commitsOnClose = false
    if states[state].log.isListed { unlist(state) }
  }

  /// Takes an inode out of the list that has written all it had.
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

  /// What an inode has to write in commit `number` is what it has when the commit comes to it.
  func takeShare(_ state: Int, in number: UInt64) {
    guard states[state].log.commitNumber != number else { return }
    states[state].log.commitNumber = number
    states[state].log.commitShare = states[state].pages.dirty.count
  }

  /// A page of an inode's share was written.
  @inline(__always)
  func wroteShare(_ state: Int) {
    if states[state].log.commitShare > 0 { states[state].log.commitShare -= 1 }
  }

  /// An inode has had its share, whatever is left of it.
  func endShare(_ state: Int) { states[state].log.commitShare = 0 }

  /// Takes the inodes out of the front of the list that have written their share; those that have become
  /// dirty again go to its end.
  /// - Parameter chosen: the first of the list.
  /// - Returns: how many.
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
      inodes.allSatisfy { states[$0].log.isListed }, "an inode is to be committed and does not know")
    invariants.expect(
      isEmpty || oldestChange != 0, "something is to be committed, and it is not known since when")
  }
}

/// What of an inode the log does not hold.
struct LogView {
  /// The size that the log knows, in bytes: it follows `Inode.size` when pages are written out.
  fileprivate(set) var loggedSize: UInt64 = 0
  /// Data or times changed since the log was told.
  fileprivate(set) var hasUnloggedWrites = false
  /// In the list of inodes with something to commit.
  fileprivate(set) var isListed = false
  /// The file was cut to nothing or replaced another: its data goes out when it is closed or renamed.
  fileprivate(set) var commitsOnClose = false
  /// The commit that came to it last, and how many pages that still has to write.
  fileprivate(set) var commitNumber: UInt64 = 0
  fileprivate(set) var commitShare = 0

  var isPending: Bool { hasUnloggedWrites || isListed || commitsOnClose }

  /// A record gave the inode a size, or it is as it was when its state was made.
  mutating func setLoggedSize(_ size: UInt64) { loggedSize = size }
}

/// A data block's place: an inode's number and the block's index in it.
struct PageName: Equatable {
  var inode: UInt64
  var index: UInt64
}
