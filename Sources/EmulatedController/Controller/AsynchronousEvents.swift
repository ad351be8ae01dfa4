import NVMeSpec

/// Asynchronous Event Requests that wait for an event, and events that wait for a request (Base 2.0, section
/// 5.2).
struct AsynchronousEvents {
  /// Requests that may be outstanding.
  static let limit = 4

  private var requests: [FetchedCommand] = []
  private var waiting: [AsynchronousEvent] = []
  /// Event types that were reported and are masked until the host reads their log page.
  private var masked: [UInt8: LogPage] = [:]

  /// Keeps a request.
  /// - Returns: false when there are too many.
  mutating func keep(_ request: FetchedCommand) -> Bool {
    guard requests.count < Self.limit else { return false }
    requests.append(request)
    return true
  }

  /// Queues an event, unless an equal one is queued already.
  mutating func add(_ event: AsynchronousEvent) {
    if masked[event.type] == nil, !waiting.contains(event) { waiting.append(event) }
  }

  /// Takes the next event that is not masked, with the request that it completes.
  mutating func next() -> (request: FetchedCommand, event: AsynchronousEvent)? {
    guard !requests.isEmpty, let index = waiting.firstIndex(where: { masked[$0.type] == nil }) else {
      return nil
    }
    let event = waiting.remove(at: index)
    masked[event.type] = event.log
    return (requests.removeFirst(), event)
  }

  /// Unmasks the event type of a log page, which the host has read.
  mutating func unmask(_ log: LogPage) { masked = masked.filter { $0.value != log } }

  /// Removes a request that is to be aborted.
  mutating func remove(identifier: UInt16) -> FetchedCommand? {
    guard let index = requests.firstIndex(where: { $0.entry.commandIdentifier == identifier }) else {
      return nil
    }
    return requests.remove(at: index)
  }
}
