import NVMeSpec

/// A command that was fetched and has not completed.
struct FetchedCommand {
  var entry: SubmissionEntry
  /// The submission queue it came from.
  var queue: UInt16
  /// The fault to inject.
  var fault: FaultAction = .none
  /// Its first event in the recorder; -1 when it is not recorded.
  var event = -1
  /// The other events of a deallocation of several ranges.
  var moreEvents = 0..<0
}

/// Commands that wait for their due time or for a worker thread.
struct DeferredCommands: ~Copyable {
  private struct Slot {
    var command = FetchedCommand(entry: SubmissionEntry(), queue: 0)
    var due: UInt64 = 0
    var order: UInt64 = 0
    /// The next free slot; -1 at the end, -2 for a slot in use.
    var next: Int32 = -2
  }

  /// A bit for every identifier of every queue: whether a deferred command has it.
  private let identifiers: UnsafeMutablePointer<UInt64>
  private var slots: UnsafeMutablePointer<Slot>
  private var capacity: Int
  private var firstFree: Int32 = -1
  private var arrivals: UInt64 = 0
  /// Slots of commands that wait for their due time, as a binary heap, the earliest first.
  private var heap: [Int32] = []

  private static let wordsPerQueue = 65_536 / 64

  init(queues: Int) {
    capacity = 0
    slots = .allocate(capacity: 1)
    identifiers = .allocate(capacity: queues * Self.wordsPerQueue)
    identifiers.initialize(repeating: 0, count: queues * Self.wordsPerQueue)
  }

  deinit {
    slots.deallocate()
    identifiers.deallocate()
  }

  /// When the earliest waiting command is due; `UInt64.max` when none waits.
  var nextDue: UInt64 { heap.isEmpty ? .max : slots[Int(heap[0])].due }

  /// Stores a command while a worker thread executes it.
  mutating func keep(_ command: FetchedCommand) -> Int32 {
    if firstFree < 0 { grow() }
    let slot = firstFree
    firstFree = slots[Int(slot)].next
    slots[Int(slot)].command = command
    slots[Int(slot)].next = -2
    mark(command, true)
    return slot
  }

  /// Removes and returns a stored command.
  mutating func release(_ slot: Int32) -> FetchedCommand {
    slots[Int(slot)].next = firstFree
    firstFree = slot
    let command = slots[Int(slot)].command
    mark(command, false)
    return command
  }

  /// Defers a command until `due`; commands due at the same time keep their order.
  mutating func schedule(_ command: FetchedCommand, due: UInt64) {
    let slot = keep(command)
    slots[Int(slot)].due = due
    slots[Int(slot)].order = arrivals
    arrivals += 1
    heap.append(slot)
    siftUp(heap.count - 1)
  }

  /// The earliest command, if it is due at `now`.
  mutating func takeDue(now: UInt64) -> FetchedCommand? {
    guard nextDue <= now else { return nil }
    return release(removeFromHeap(0))
  }

  /// Removes and returns a waiting command that `matches`, if there is one.
  mutating func take(where matches: (FetchedCommand) -> Bool) -> FetchedCommand? {
    guard let index = heap.firstIndex(where: { matches(slots[Int($0)].command) }) else { return nil }
    return release(removeFromHeap(index))
  }

  /// Whether a command with this identifier of this queue is deferred.
  func contains(identifier: UInt16, queue: UInt16) -> Bool {
    identifiers[Self.word(identifier, queue)] & Self.bit(identifier) != 0
  }

  private func mark(_ command: FetchedCommand, _ isHere: Bool) {
    let identifier = command.entry.commandIdentifier
    let word = Self.word(identifier, command.queue)
    if isHere {
      identifiers[word] |= Self.bit(identifier)
    } else {
      identifiers[word] &= ~Self.bit(identifier)
    }
  }

  private static func word(_ identifier: UInt16, _ queue: UInt16) -> Int {
    Int(queue) * wordsPerQueue + Int(identifier >> 6)
  }

  private static func bit(_ identifier: UInt16) -> UInt64 { 1 << UInt64(identifier & 63) }

  /// Detaches all commands from their events, as the recording restarts.
  mutating func forgetEvents() {
    for index in 0..<capacity {
      slots[index].command.event = -1
      slots[index].command.moreEvents = 0..<0
    }
  }

  /// Drops all waiting commands.
  mutating func removeWaiting() {
    while !heap.isEmpty { _ = release(removeFromHeap(heap.count - 1)) }
  }

  private mutating func grow() {
    let larger = max(64, capacity * 2)
    let grown = UnsafeMutablePointer<Slot>.allocate(capacity: larger)
    grown.moveInitialize(from: slots, count: capacity)
    slots.deallocate()
    slots = grown
    for index in capacity..<larger {
      (slots + index).initialize(to: Slot())
      slots[index].next = index + 1 < larger ? Int32(index + 1) : -1
    }
    firstFree = Int32(capacity)
    capacity = larger
    heap.reserveCapacity(larger)
  }

  private func isEarlier(_ left: Int32, _ right: Int32) -> Bool {
    let (a, b) = (Int(left), Int(right))
    return slots[a].due != slots[b].due ? slots[a].due < slots[b].due : slots[a].order < slots[b].order
  }

  private mutating func removeFromHeap(_ index: Int) -> Int32 {
    let slot = heap[index]
    let last = heap.removeLast()
    if index < heap.count {
      heap[index] = last
      siftDown(index)
      siftUp(index)
    }
    return slot
  }

  private mutating func siftUp(_ start: Int) {
    var index = start
    while index > 0 {
      let parent = (index - 1) / 2
      guard isEarlier(heap[index], heap[parent]) else { return }
      heap.swapAt(index, parent)
      index = parent
    }
  }

  private mutating func siftDown(_ start: Int) {
    var index = start
    while true {
      var least = index
      for child in [2 * index + 1, 2 * index + 2]
      where child < heap.count && isEarlier(heap[child], heap[least]) {
        least = child
      }
      guard least != index else { return }
      heap.swapAt(index, least)
      index = least
    }
  }
}
