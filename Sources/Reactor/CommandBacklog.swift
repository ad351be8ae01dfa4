import BlockProtocol

/// Commands the device had no room for, in order. A ring that grows only when it is full.
struct CommandBacklog: ~Copyable {
  private var ring: UnsafeMutablePointer<BlockCommand>
  private var mask: Int
  private var head = 0
  private var tail = 0

  /// - Parameter capacity: the initial capacity, a power of two.
  init(capacity: Int = 256) {
    ring = .allocate(capacity: capacity)
    mask = capacity - 1
  }

  deinit { ring.deallocate() }

  var isEmpty: Bool { head == tail }
  var count: Int { tail - head }
  /// The oldest command. The backlog must not be empty.
  var first: BlockCommand { ring[head & mask] }

  mutating func append(_ command: BlockCommand) {
    if count > mask { grow() }
    (ring + (tail & mask)).initialize(to: command)
    tail += 1
  }

  mutating func removeFirst() { head += 1 }

  private mutating func grow() {
    let wider = UnsafeMutablePointer<BlockCommand>.allocate(capacity: (mask + 1) * 2)
    for index in 0..<count { (wider + index).initialize(to: ring[(head + index) & mask]) }
    tail = count
    head = 0
    ring.deallocate()
    ring = wider
    mask = mask * 2 + 1
  }
}
