/// Why an operation ended before it had changed anything.
enum Stop: Error {
  /// It waits, and is run again.
  case again(WaitReason)
  /// It failed with this errno.
  case fail(Int32)
}

/// What a request or a job waits for.
///
/// A new reason needs its place in `WaitTimes`, what wakes the waiters (`Waiting.wakeStalled`, called where the
/// cause ends), and its line in the article about a stuck mount; `varve stat` and traces show its name.
public enum WaitReason: UInt8, CaseIterable, Sendable {
  /// Blocks that are being read.
  case read
  /// Frames of the cache.
  case memory
  /// Free segments: for a checkpoint, a discard or the cleaner.
  case segments
  /// Blocks that are being freed.
  case freeing
  /// A checkpoint that makes room for changed nodes, or that begins the log anew after a failed write.
  case checkpoint
  /// A commit of what is dirty.
  case commit
  /// A rename that moves another directory.
  case directoryMove
  /// Recovery.
  case mount
  /// The next event: it has done its share of work in this one.
  case share
  /// A log write that has to be durable.
  case durability
}
