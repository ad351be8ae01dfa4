/// The properties of the simulated disk.
public struct DiskProfile: Sendable {
  /// Whether completed writes may be lost until a flush.
  public var hasVolatileCache = true
  /// Whether discard is offered.
  public var canDiscard = true
  /// The size of a logical block, which a power cut does not tear, in bytes (512 or 4096).
  public var logicalBlock = 512
  /// In which order commands in flight end.
  public var order = CompletionOrder.mixed
  /// What discarded blocks read as.
  public var discarded = Discarded.mixed

  public enum CompletionOrder: Sendable { case submission, mixed }
  public enum Discarded: Sendable { case zeros, old, mixed }

  public init() {}

  /// A profile that a seed chooses.
  public init(seed: UInt64) {
    var random = SeededRandom(seed, stream: 0x6469736b)
    hasVolatileCache = random.chance(80)
    logicalBlock = random.chance(60) ? 512 : 4096
    order = random.chance(85) ? .mixed : .submission
    canDiscard = random.chance(85)
    discarded = random.pick([.zeros, .old, .mixed]) ?? .mixed
  }
}

/// Makes commands fail: those of one kind, from the `skip`-th that touches `blocks`, `count` times.
public struct DiskFault: Sendable {
  public var operation: Operation
  public var blocks: Range<UInt64>
  public var skip: Int
  public var count: Int
  public var errno: Int32

  public enum Operation: Sendable { case read, write, flush, discard }

  public init(
    _ operation: Operation, blocks: Range<UInt64> = 0..<UInt64.max, skip: Int = 0, count: Int = 1,
    errno: Int32 = 5
  ) {
    self.operation = operation
    self.blocks = blocks
    self.skip = skip
    self.count = count
    self.errno = errno
  }

  /// Whether a command fails now; counts it.
  mutating func strikes(_ command: Operation, block: UInt64, blockCount: UInt64) -> Bool {
    guard command == operation, count > 0 else { return false }
    guard command == .flush || (block < blocks.upperBound && block + blockCount > blocks.lowerBound) else {
      return false
    }
    guard skip == 0 else {
      skip -= 1
      return false
    }
    count -= 1
    return true
  }
}
