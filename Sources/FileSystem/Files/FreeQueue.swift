/// Inodes that have something to be freed: those without a name, and those with blocks that were cut off.
///
/// Owns the queue. It promises that a number is in it once, and that what turned out to be damaged is left to
/// fsck.varve.
final class FreeQueue {
  private let condition: Condition
  /// Inode numbers to be worked on; the last comes first.
  private var queue: [UInt64] = []
  private var queued: Set<UInt64> = []
  /// Inodes that cannot be freed because they are damaged.
  private var damaged: Set<UInt64> = []
  /// After a mount: where the walk over the orphan directory goes on; nil when it is done.
  private(set) var scanCookie: UInt64?
  /// How often the queue became empty.
  private(set) var timesEmptied: UInt64 = 0

  init(condition: Condition) { self.condition = condition }

  var isIdle: Bool { queue.isEmpty && scanCookie == nil }
  /// The inode that comes next.
  var next: UInt64? { queue.last }

  /// The inodes that come next, at most `count`.
  func next(_ count: Int) -> ArraySlice<UInt64> { queue.suffix(count) }

  /// An inode has something to be freed.
  func add(_ number: UInt64) {
    guard !condition.isReadOnly, !damaged.contains(number), queued.insert(number).inserted else { return }
    queue.append(number)
  }

  /// Nothing is left to be freed of an inode, or it is looked for again later.
  func remove(_ number: UInt64) {
    if queue.last == number {
      queue.removeLast()
    } else {
      queue.removeAll { $0 == number }
    }
    queued.remove(number)
    if queue.isEmpty { timesEmptied += 1 }
  }

  /// What an inode has cannot be freed: it stays as it is, for fsck.varve.
  func giveUp(_ number: UInt64) {
    remove(number)
    damaged.insert(number)
  }

  func isDamaged(_ number: UInt64) -> Bool { damaged.contains(number) }

  /// The walk over the orphan directory begins, goes on behind `cookie`, or is over.
  func scan(after cookie: UInt64?) { scanCookie = cookie }

  func checkInvariants(_ invariants: inout Invariants) {
    invariants.expect("inodes to be freed, each once", Set(queue), equals: queued)
    invariants.expect("inodes to be freed", queue.count, equals: queued.count)
    invariants.expect(queued.isDisjoint(with: damaged), "an inode is to be freed and is damaged")
  }
}
