import NVMeSpec

/// What asynchronous events have the driver do: read the log an event names, so that the next of its kind may come,
/// ask about the namespaces that changed, and send the request again that the event used up.
///
/// One such command is under way at a time, since they share a frame of memory. A controller that reports events
/// without end is heard so many times a second and no more.
struct EventService {
  /// A command that an event leads to.
  enum Errand: Hashable {
    /// Get Log Page.
    case log(LogPage)
    /// Identify Namespace.
    case identify(UInt32)
    /// Namespace Identification Descriptor list.
    case describe(UInt32)
  }

  /// The most events heard in an interval.
  static let eventLimit = 32
  /// The interval (ns).
  static let interval: UInt64 = .second

  /// Errands to be run.
  private var waiting: [Errand] = []
  /// The errand under way.
  private(set) var current: Errand?
  /// Asynchronous Event Requests that are to be sent.
  private(set) var requestsOwed = 0
  /// The present interval's end, and how many events have come in it.
  private(set) var intervalEnd: UInt64 = 0
  private var heard = 0

  /// Takes in that an event has come.
  mutating func hear(now: UInt64) {
    if now >= intervalEnd {
      intervalEnd = now + Self.interval
      heard = 0
    }
    heard += 1
    requestsOwed += 1
  }

  /// Whether more events may be asked for.
  func mayRequest(now: UInt64) -> Bool { heard < Self.eventLimit || now >= intervalEnd }

  /// All requests that were owed have been sent.
  mutating func haveRequested() { requestsOwed = 0 }

  /// Adds an errand, unless it waits to be run already.
  mutating func add(_ errand: Errand) {
    if !waiting.contains(errand) { waiting.append(errand) }
  }

  /// Begins the next errand; nil when there is none or one is under way.
  mutating func begin() -> Errand? {
    guard current == nil, !waiting.isEmpty else { return nil }
    current = waiting.removeFirst()
    return current
  }

  /// The errand under way is over.
  mutating func end() -> Errand? {
    defer { current = nil }
    return current
  }

  /// Forgets everything: the controller has stopped.
  mutating func reset() { self = EventService() }
}
