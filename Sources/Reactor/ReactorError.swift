/// Why the reactor could not begin or go on, and what mends it.
public struct ReactorError: Error, CustomStringConvertible, Sendable {
  /// What failed, in one line.
  public let problem: String
  /// The act that mends it; empty where there is none.
  public let remedy: String
  /// The system's error number, 0 when there was none.
  public let errno: Int32

  public init(_ problem: String, remedy: String = "", errno: Int32 = 0) {
    self.problem = problem
    self.remedy = remedy
    self.errno = errno
  }

  public var description: String { remedy.isEmpty ? problem : "\(problem); \(remedy)" }
}

/// How serving came to its end.
public enum Ending: Sendable, Equatable {
  /// The kernel closed the channel: somebody unmounted.
  case unmounted
  /// `Reactor.stop` was called.
  case stopped
  /// The service could not write everything; the text says why.
  case failed(String)
}

/// What a reactor has done since it was made.
public struct ReactorCounters: Sendable, Equatable {
  /// Requests handed to the service.
  public var requests: UInt64 = 0
  /// Commands the service gave for the device.
  public var commands: UInt64 = 0
  /// Commands the device had no room for at first.
  public var delayedCommands: UInt64 = 0
  /// Commands that ended with an error.
  public var failedCommands: UInt64 = 0
  /// How often the reactor slept.
  public var sleeps: UInt64 = 0
  /// How often it could not receive because every slot was under way.
  public var slotShortages: UInt64 = 0

  public init() {}
}
