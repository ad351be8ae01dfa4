/// How a filesystem is mounted.
public struct Options: Sendable {
  /// When a read updates the access time.
  public enum AccessTimes: Sendable { case never, relative, always }

  public var readOnly = false
  /// Whether a filesystem that is mounted read-only cannot be remounted read-write.
  public var staysReadOnly = false
  public var accessTimes = AccessTimes.relative
  /// A background commit starts within this time of the oldest uncommitted operation. Nanoseconds.
  public var commitInterval: UInt64 = 5_000_000_000
  /// A checkpoint is made at the latest after this many log blocks; 0 for the default, 64 Ki (256 MiB).
  public var checkpointBlocks: UInt64 = 0
  /// A write of at least this many whole blocks is logged from the slot in which it arrived, a smaller one
  /// through the cache.
  public var borrowedBlocks: UInt64 = 32
  /// The part of the space for files that is reserved for root, in percent.
  public var rootPercent = 0
  /// The largest `rootPercent`.
  public static let largestRootPercent = 50
  /// Whether freed segments are deallocated on the device.
  public var discards = true
  /// The last log write that a mount replays: later ones are dropped. Only fsck sets it.
  public var replaysThrough = UInt64.max
  /// Whether segments that are empty as of the newest checkpoint are free at once, though the checkpoint
  /// before may need them: falling back to that is no longer possible. Only fsck sets it, where a mount finds
  /// no free segment otherwise.
  public var reusesEmptySegments = false
  /// Where not 0, cached blocks are now and then treated as missing, chosen by this seed. Only tests set it.
  public var missSeed: UInt64 = 0
  /// Nodes that a step of a checkpoint writes.
  public var checkpointNodesPerStep = 48

  public init() {}
}
