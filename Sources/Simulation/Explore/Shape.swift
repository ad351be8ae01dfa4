/// The sizes and options of a run.
public struct Shape: Sendable {
  /// 4 KiB blocks of the disk, 0 for the explorer's own.
  public var blockCount: UInt64 = 0
  /// Blocks of a segment; nil for mkfs's choice.
  public var segmentBlocks: UInt32?
  /// 4 KiB frames of the cache: of the run, and of the mounts after it.
  public var frameCount = 2048
  public var recoveryFrames = 2048
  /// Requests that can be in flight at once.
  public var slots = 8
  /// Checkpoint after this many log blocks, in the run and in the mounts after it; 0 for the scenario's.
  public var checkpointBlocks: UInt64 = 0
  public var recoveryCheckpointBlocks: UInt64 = 0
  /// The time within which a background commit begins, ns.
  public var commitInterval: UInt64 = 5_000_000_000
  /// A write of at least so many whole blocks is not copied.
  public var borrowedBlocks: UInt64 = 2
  /// Whether freed segments are discarded where the disk can.
  public var discards = true
  /// Nodes that a step of a checkpoint writes.
  public var checkpointNodesPerStep = 48
  /// Whether mounts are read-only, until they are made writable.
  public var readsOnly = false
  /// Unless 0, some blocks in memory count as missing; see `Options.missSeed`.
  public var missSeed: UInt64 = 0

  public init() {}

  /// A shape that a seed chooses.
  public init(seed: UInt64) {
    var random = SeededRandom(seed, stream: 0x73686170)
    blockCount = UInt64(random.number(36...200)) * 256 + UInt64(random.below(256))
    let fitting: [UInt32] = [128, 256, 512].filter { blockCount / UInt64($0) >= 80 }
    segmentBlocks = random.chance(50) ? nil : random.pick(fitting)
    frameCount = random.pick([2048, 2048, 2500, 8192]) ?? 2048
    recoveryFrames = random.pick([2048, 2048, 8192]) ?? 2048
    slots = random.pick([2, 4, 8, 16]) ?? 8
    checkpointBlocks = random.pick([0, 0, 0, 20, 60, 250]) ?? 0
    commitInterval = random.pick([5_000_000_000, 5_000_000_000, 1_000_000_000, 20_000_000]) ?? 5_000_000_000
    borrowedBlocks = random.pick([1, 2, 2, 32]) ?? 2
    discards = random.chance(80)
    recoveryCheckpointBlocks = random.pick([0, 5, 25]) ?? 0
    checkpointNodesPerStep = random.pick([48, 48, 7, 1]) ?? 48
    missSeed = random.chance(50) ? random.next() | 1 : 0
  }
}
