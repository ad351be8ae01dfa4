import NVMeSpec

/// The driver's reactions to asynchronous events: it reads the log that an event names, which unmasks the
/// next event of its type, identifies the namespaces that changed, and sends a new request for the one that
/// the event completed.
///
/// One such command is outstanding at a time, since they share a frame of memory. The number of events taken
/// a second is limited, for a controller that reports events without end.
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

  /// Queued follow-ups.
  private var waiting: [FollowUp] = []
  /// The outstanding follow-up.
  private(set) var current: FollowUp?
  /// How many Asynchronous Event Requests are to be sent.
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

  /// Whether more event requests may be sent.
  func mayRequest(now: UInt64) -> Bool { eventCount < Self.eventLimit || now >= intervalEnd }

  /// Records that all owed requests have been sent.
  mutating func didSendRequests() { requestsOwed = 0 }

  /// Queues a follow-up, unless it is queued already.
  mutating func add(_ followUp: FollowUp) {
    if !waiting.contains(followUp) { waiting.append(followUp) }
  }

  /// Begins the next follow-up; nil when there is none or one is outstanding.
  mutating func begin() -> FollowUp? {
    guard current == nil, !waiting.isEmpty else { return nil }
    current = waiting.removeFirst()
    return current
  }

  /// Ends the outstanding follow-up.
  mutating func end() -> FollowUp? {
    defer { current = nil }
    return current
  }

  /// Drops everything, as the controller has stopped.
  mutating func reset() { self = EventService() }
}
