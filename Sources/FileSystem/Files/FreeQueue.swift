/// The queue of inodes that have something to be freed: those without a name, and those with a detached tree.
///
/// Owns the queue, the set of inodes found damaged, and the position of the scan of the orphan directory
/// after a mount. It promises that an inode is queued at most once, and that damaged ones, which are left to
/// fsck.varve, are not queued again.
final class FreeQueue {
  private let condition: Condition
  /// Inode numbers; the last is worked on first.
  private var queue: [UInt64] = []
  private var queued: Set<UInt64> = []
  /// Inodes that cannot be freed because they are damaged.
  private var damaged: Set<UInt64> = []
  /// After a mount: the cookie after which the scan of the orphan directory goes on; nil when it is done.
  private(set) var scanCookie: UInt64?
  /// How often the queue has become empty.
  private(set) var timesEmptied: UInt64 = 0

  init(condition: Condition) { self.condition = condition }

  var isIdle: Bool { queue.isEmpty && scanCookie == nil }
  /// The inode that is worked on next.
  var next: UInt64? { queue.last }

  /// The inodes that are worked on next, at most `count`.
  func next(_ count: Int) -> ArraySlice<UInt64> { queue.suffix(count) }

  /// Queues an inode that has something to be freed.
  func add(_ number: UInt64) {
    guard !condition.isReadOnly, !damaged.contains(number), queued.insert(number).inserted else { return }
    queue.append(number)
  }

  /// Removes an inode: it has nothing left to be freed, or must not be freed yet.
  func remove(_ number: UInt64) {
    if queue.last == number {
      queue.removeLast()
    } else {
      queue.removeAll { $0 == number }
    }
    queued.remove(number)
    if queue.isEmpty { timesEmptied += 1 }
  }

  /// Removes an inode that cannot be freed because it is damaged, and does not queue it again.
  func giveUp(_ number: UInt64) {
    remove(number)
    damaged.insert(number)
  }

  func isDamaged(_ number: UInt64) -> Bool { damaged.contains(number) }

  /// Sets where the scan of the orphan directory goes on: after `cookie`; nil when it is done.
  func scan(after cookie: UInt64?) { scanCookie = cookie }

  func checkInvariants(_ invariants: inout Invariants) {
    invariants.expect("inodes to be freed, each once", Set(queue), equals: queued)
    invariants.expect("inodes to be freed", queue.count, equals: queued.count)
    invariants.expect(queued.isDisjoint(with: damaged), "an inode is to be freed and is damaged")
  }
}
