/// How a filesystem is mounted.
public struct Options: Sendable {
  /// When reading moves the access time.
  public enum AccessTimes: Sendable { case never, relative, always }

  public var readOnly = false
  /// What is mounted read-only cannot be written later either.
  public var staysReadOnly = false
  public var accessTimes = AccessTimes.relative
  /// A background commit starts within this time of the oldest uncommitted operation. Nanoseconds.
  public var commitInterval: UInt64 = 5_000_000_000
  /// A checkpoint is made at the latest after this many log blocks; 0 for the default, 64 Ki (256 MiB).
  public var checkpointBlocks: UInt64 = 0
  /// A write of at least so many whole blocks goes to the log from where it arrived, a smaller one through
  /// the cache.
  public var borrowedBlocks: UInt64 = 32
  /// How much of the room for files only root may take, in percent.
  public var rootPercent = 0
  /// The most of it.
  public static let largestRootPercent = 50
  /// Whether freed segments are deallocated on the device.
  public var discards = true
  /// The last log write that a mount replays: what follows is given up, which only fsck asks for.
  public var replaysThrough = UInt64.max
  /// Segments that hold nothing as of the newest checkpoint are free at once, though the one before may need
  /// them: the fallback is given up, which only fsck does, where a mount finds no free segment otherwise.
  public var reusesEmptySegments = false
  /// Where not 0, blocks that are in memory now and then count as missing, chosen by this seed. Only tests
  /// set it.
  public var missSeed: UInt64 = 0
  /// Nodes that a step of a checkpoint writes.
  public var checkpointNodesPerStep = 48

  public init() {}
}
