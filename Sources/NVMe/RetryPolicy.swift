import NVMeSpec

/// When a failed command is tried again, and after how long. Retries happen in this module and nowhere else.
public struct RetryPolicy: Sendable, Equatable {
  /// How often a command that ended with a retryable status is submitted again.
  public var maximumRetries: UInt8
  /// How often a command that was in flight when the controller had to be reset is submitted again.
  public var maximumRequeues: UInt8
  /// The controller's Command Retry Delay Times 1...3 in units of 100 ms (Identify Controller, CRDT1...CRDT3).
  public var delayTimes: (UInt16, UInt16, UInt16)

  /// A policy; five retries are Linux's default.
  public init(
    maximumRetries: UInt8 = 5, maximumRequeues: UInt8 = 1, delayTimes: (UInt16, UInt16, UInt16) = (0, 0, 0)
  ) {
    self.maximumRetries = maximumRetries
    self.maximumRequeues = maximumRequeues
    self.delayTimes = delayTimes
  }

  /// How long to wait before a command that ended with `status` and was retried `retries` times is submitted
  /// again, in nanoseconds; nil when it is not to be tried again.
  public func delay(after status: Status, retries: UInt8) -> UInt64? {
    guard !status.doNotRetry, retries < maximumRetries else { return nil }
    return delay(forIndex: status.retryDelay)
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

  public static func == (left: RetryPolicy, right: RetryPolicy) -> Bool {
    left.maximumRetries == right.maximumRetries && left.maximumRequeues == right.maximumRequeues
      && left.delayTimes == right.delayTimes
  }
}
