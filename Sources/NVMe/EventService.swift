import NVMeSpec

/// What asynchronous events have the driver do: read the log an event names, so that the next of its kind may
/// come, ask about the namespaces that changed, and send the request again that the event used up.
///
/// One such command is under way at a time, since they share a frame of memory. A controller that reports
/// events without end is asked for so many a second and no more.
struct EventService {
  /// A command that an event leads to.
  enum FollowUp: Hashable {
    /// Get Log Page.
    case log(LogPage)
    /// Identify Namespace.
    case identify(UInt32)
    /// Namespace Identification Descriptor list.
    case describe(UInt32)
  }

  /// The most events taken in an interval.
  static let eventLimit = 32
  /// The interval (ns).
  static let interval: UInt64 = .second

  /// Follow-ups to be sent.
  private var waiting: [FollowUp] = []
  /// The follow-up under way.
  private(set) var current: FollowUp?
  /// Asynchronous Event Requests that are to be sent.
  private(set) var requestsOwed = 0
  /// The present interval's end, and how many events have come in it.
  private(set) var intervalEnd: UInt64 = 0
  private var eventCount = 0

  /// Counts an event, for which another request is to be sent.
  mutating func recordEvent(now: UInt64) {
    if now >= intervalEnd {
      intervalEnd = now + Self.interval
      eventCount = 0
    }
    eventCount += 1
    requestsOwed += 1
  }

  /// Whether more events may be asked for.
  func mayRequest(now: UInt64) -> Bool { eventCount < Self.eventLimit || now >= intervalEnd }

  /// All requests that were owed have been sent.
  mutating func didSendRequests() { requestsOwed = 0 }

  /// Adds a follow-up, unless it waits already.
  mutating func add(_ followUp: FollowUp) {
    if !waiting.contains(followUp) { waiting.append(followUp) }
  }

  /// Begins the next follow-up; nil when there is none or one is under way.
  mutating func begin() -> FollowUp? {
    guard current == nil, !waiting.isEmpty else { return nil }
    current = waiting.removeFirst()
    return current
  }

  /// The follow-up under way is over.
  mutating func end() -> FollowUp? {
    defer { current = nil }
    return current
  }

  /// Forgets everything: the controller has stopped.
  mutating func reset() { self = EventService() }
}
