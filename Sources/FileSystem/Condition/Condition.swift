import FileProtocol

/// What the filesystem is able to do: whether it is mounted yet, may be written, is being left, or has
/// failed.
///
/// Owns these facts and nothing else. Two things change at the same time and independently of each other:
///
///     mounting ─▶ ready ─▶ (stopping) ─▶ stopped           refused: `failure` says why it cannot be mounted
///        └──◀── becoming writable
///
///     writable ─▶ failed: read-only for good                read-only ─▶ writable, where `canBecomeWritable`
final class Condition {
  /// Recovery is over: requests may run.
  private(set) var isReady = false
  private(set) var isStopping = false
  private(set) var isStopped = false
  /// Set by the option, by the superblock, or after a failure that leaves nothing else.
  private(set) var isReadOnly: Bool
  /// It was mounted to be read only: recovery has written nothing.
  private(set) var isMountedReadOnly: Bool
  /// Something could not be written: from then on nothing is.
  private(set) var hasFailed = false
  /// It was mounted read-only, and recovery goes on to where it can be written.
  private(set) var isBecomingWritable = false
  /// Why it cannot be mounted, or go on at all; nil while it can.
  private(set) var failure: String?
  /// What keeps it from being mounted is that no segment is free; see `FileSystem.lacksSegments`.
  private(set) var lacksSegments = false
  /// What keeps it from being mounted is that no superblock can be used.
  private(set) var hasNoSuperblock = false
  /// The last log write before the one that keeps it from being mounted; nil when something else does.
  private(set) var replayableThrough: UInt64?

  init(isReadOnly: Bool) {
    self.isReadOnly = isReadOnly
    isMountedReadOnly = isReadOnly
  }

  func becomeReady() { isReady = true }

  func beginStop() { isStopping = true }

  /// - Parameter isStopped: whether nothing is left to be done.
  func setStopped(_ isStopped: Bool) { self.isStopped = isStopped }

  /// The superblock has a feature that forbids writing.
  func forbidWriting() {
    isReadOnly = true
    isMountedReadOnly = true
  }

  /// What was mounted to be read is to be written: recovery goes on, and requests wait for it.
  func beginWriting() {
    isReadOnly = false
    isMountedReadOnly = false
    isReady = false
    isBecomingWritable = true
  }

  /// It cannot be mounted. The first reason counts.
  /// - Parameter replayableThrough: the last log write before the one that is damaged, where one is.
  func refuse(_ reason: String, replayableThrough: UInt64? = nil) {
    failure = failure ?? reason
    self.replayableThrough = replayableThrough ?? self.replayableThrough
  }

  /// It cannot be mounted because no superblock can be used.
  func refuseWithoutSuperblock(_ reason: String) {
    hasNoSuperblock = true
    refuse(reason)
  }

  func setLackOfSegments() { lacksSegments = true }

  /// Nothing can be written any more.
  func setFailed() {
    hasFailed = true
    isReadOnly = true
  }
}
