import FileProtocol

/// The state of the whole filesystem: mounting, ready, stopping or refused; and whether it is read-only or
/// has failed.
///
/// Owns these flags and nothing else. There are two independent state machines, of the mount and of writing:
///
///     mounting ─▶ ready ─▶ stopping ─▶ stopped
///      │  ▲         │
///      │  └─────────┘ becoming writable
///      └─▶ refused (`failure` says why)
///
///     writable ─▶ failed, read-only for good
///     read-only ─▶ writable, where `Recovery.canBecomeWritable`
///
/// Becoming writable that fails leads back to ready and read-only (`FileSystem.endWriting`).
final class Condition {
  /// Recovery is over: requests may run.
  private(set) var isReady = false
  private(set) var isStopping = false
  private(set) var isStopped = false
  /// Set by the mount option, by a feature in the superblock, or by an error that ended writing.
  private(set) var isReadOnly: Bool
  /// It was mounted read-only: recovery has written nothing.
  private(set) var isMountedReadOnly: Bool
  /// An error has ended all writing.
  private(set) var hasFailed = false
  /// It was mounted read-only, and recovery is making it writable.
  private(set) var isBecomingWritable = false
  /// Why the mount was refused; nil while it was not.
  private(set) var failure: String?
  /// The mount was refused because no segment is free; see `FileSystem.lacksSegments`.
  private(set) var lacksSegments = false
  /// The mount was refused because neither superblock is valid.
  private(set) var hasNoSuperblock = false
  /// Where a damaged log write is why the mount was refused: the log write before it; nil otherwise.
  private(set) var replayableThrough: UInt64?

  init(isReadOnly: Bool) {
    self.isReadOnly = isReadOnly
    isMountedReadOnly = isReadOnly
  }

  func becomeReady() { isReady = true }

  func beginStop() { isStopping = true }

  /// - Parameter isStopped: whether the end is reached: nothing is left to write, no command is under way.
  func setStopped(_ isStopped: Bool) { self.isStopped = isStopped }

  /// The superblock has a feature that forbids writing.
  func forbidWriting() {
    isReadOnly = true
    isMountedReadOnly = true
  }

  /// A filesystem mounted read-only is to become writable: recovery goes on, and requests wait for it.
  func beginWriting() {
    isReadOnly = false
    isMountedReadOnly = false
    isReady = false
    isBecomingWritable = true
  }

  /// Refuses the mount. The first reason is kept.
  /// - Parameter replayableThrough: where a log write is damaged, the one before it.
  func refuse(_ reason: String, replayableThrough: UInt64? = nil) {
    failure = failure ?? reason
    self.replayableThrough = replayableThrough ?? self.replayableThrough
  }

  /// Refuses the mount because neither superblock is valid.
  func refuseWithoutSuperblock(_ reason: String) {
    hasNoSuperblock = true
    refuse(reason)
  }

  func setLackOfSegments() { lacksSegments = true }

  /// Ends all writing after an error.
  func setFailed() {
    hasFailed = true
    isReadOnly = true
  }
}
