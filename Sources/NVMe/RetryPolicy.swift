import NVMeSpec

/// When a failed command is retried, and after what delay. Retries happen in this module and nowhere else.
public struct RetryPolicy: Sendable, Equatable {
  /// How often a command that ended with a retryable status is submitted again.
  public var maximumRetries: UInt8
  /// How often a command that was in flight when the controller had to be reset is submitted again.
  public var maximumRequeues: UInt8
  /// How often a command that caused a reset is submitted again: it may be the command that hangs the
  /// controller.
  public var maximumTimeouts: UInt8
  /// The controller's Command Retry Delay Times 1...3 in units of 100 ms (Identify Controller,
  /// CRDT1...CRDT3); all zero where Host Behavior Support has not enabled them.
  public var delayTimes: (UInt16, UInt16, UInt16)

  /// A policy; five retries are Linux's default.
  public init(
    maximumRetries: UInt8 = 5, maximumRequeues: UInt8 = 5, maximumTimeouts: UInt8 = 1,
    delayTimes: (UInt16, UInt16, UInt16) = (0, 0, 0)
  ) {
    self.maximumRetries = maximumRetries
    self.maximumRequeues = maximumRequeues
    self.maximumTimeouts = maximumTimeouts
    self.delayTimes = delayTimes
  }

  /// How long to wait before a command that ended with `status` and was retried `retries` times is submitted
  /// again, in nanoseconds; nil when it is not to be retried.
  public func delay(after status: Status, retries: UInt8) -> UInt64? {
    guard !status.doNotRetry, retries < maximumRetries, !Self.final.contains(status.code) else { return nil }
    let delay = delay(forIndex: status.retryDelay)
    return delay == 0 && needsTime(status.code) ? Self.backoff << UInt64(min(retries, 10)) : delay
  }

  /// Codes that are final even where the controller leaves DNR clear.
  private static let final: Set<StatusCode> = [.asymmetricAccessPersistentLoss, .compareFailure]

  /// Codes of a temporary state, which a retry has to outwait.
  private static let transient: Set<StatusCode> = [
    .namespaceNotReady, .commandInterrupted, .formatInProgress, .sanitizeInProgress,
  ]

  /// Codes of a temporary asymmetric access state; controllers give no delay with them.
  private static let accessStates: Set<StatusCode> = [
    .asymmetricAccessInaccessible, .asymmetricAccessTransition,
  ]

  /// The first delay where the controller names none (ns); each further retry waits twice as long. Five
  /// retries span 3.1 s.
  private static let backoff: UInt64 = 100 * .millisecond

  /// Whether to wait although the controller gives no delay, because it cannot give one.
  private func needsTime(_ code: StatusCode) -> Bool {
    Self.accessStates.contains(code) || (delayTimes == (0, 0, 0) && Self.transient.contains(code))
  }

  /// The delay that a status' CRD field names, in nanoseconds: 0 is none, 1...3 name CRDT1...CRDT3.
  func delay(forIndex index: UInt8) -> UInt64 {
    let units: UInt16
    switch index {
    case 1: units = delayTimes.0
    case 2: units = delayTimes.1
    case 3: units = delayTimes.2
    default: units = 0
    }
    return UInt64(units) * 100 * .millisecond
  }

  /// Whether a command that was in flight at a reset is to be submitted again.
  func mayRequeue(_ history: Tracker.History) -> Bool {
    history.requeues < maximumRequeues && !(history.timedOut && history.timeouts >= maximumTimeouts)
  }

  public static func == (left: RetryPolicy, right: RetryPolicy) -> Bool {
    left.maximumRetries == right.maximumRetries && left.maximumRequeues == right.maximumRequeues
      && left.maximumTimeouts == right.maximumTimeouts && left.delayTimes == right.delayTimes
  }
}
