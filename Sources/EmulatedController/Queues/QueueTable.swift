import NVMeSpec

/// The queues of a controller by identifier; 0 is the admin pair.
struct QueueTable: ~Copyable {
  /// How many of each kind there can be, the admin queue among them.
  let count: Int
  let submission: UnsafeMutablePointer<SubmissionQueue>
  let completion: UnsafeMutablePointer<CompletionQueue>
  /// Completions that wait because their queue was full, in order.
  var backlog: [UInt16: [CompletionEntry]] = [:]
  /// One more than the highest identifier of a queue created since the last reset.
  private(set) var limit = 1
  /// The lowest and the highest completion queue that may need an interrupt; lowest > highest when none does.
  private var lowestDue = Int.max
  private var highestDue = -1

  init(ioPairs: Int) {
    count = ioPairs + 1
    submission = .allocate(capacity: count)
    completion = .allocate(capacity: count)
    submission.initialize(repeating: SubmissionQueue(), count: count)
    completion.initialize(repeating: CompletionQueue(), count: count)
  }

  deinit {
    submission.deallocate()
    completion.deallocate()
  }

  /// Removes every queue.
  mutating func removeAll() {
    submission.update(repeating: SubmissionQueue(), count: count)
    completion.update(repeating: CompletionQueue(), count: count)
    backlog = [:]
    limit = 1
    (lowestDue, highestDue) = (.max, -1)
  }

  /// Raises `limit` above a queue that was created.
  mutating func recordCreation(of queue: Int) { limit = max(limit, queue + 1) }

  /// Whether an I/O queue was created since the reset.
  var hasMadeQueues: Bool { limit > 1 }

  /// Whether any completion queue needs an interrupt.
  var interruptsDue: Bool { highestDue >= 0 }

  /// Marks a completion queue as needing an interrupt.
  @inline(__always)
  mutating func markInterruptDue(_ queue: Int) {
    if queue < lowestDue { lowestDue = queue }
    if queue > highestDue { highestDue = queue }
  }

  /// Takes the range of queues that may need an interrupt, leaving it empty.
  mutating func takeInterruptRange() -> ClosedRange<Int> {
    let range = min(lowestDue, highestDue)...highestDue
    (lowestDue, highestDue) = (.max, -1)
    return range
  }

  /// Whether a submission queue completes on `queue`.
  func isInUse(completionQueue queue: UInt16) -> Bool {
    (0..<count).contains { submission[$0].exists && submission[$0].completionQueue == queue }
  }
}
