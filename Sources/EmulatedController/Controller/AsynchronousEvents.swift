import NVMeSpec

/// Asynchronous Event Requests that wait for an event, and events that wait for a request (Base 2.0, section
/// 5.2).
struct AsynchronousEvents {
  /// Requests that may be outstanding.
  static let limit = 4

  private var requests: [FetchedCommand] = []
  private var waiting: [AsynchronousEvent] = []
  /// Types of events told, with the log page that the host has not read since.
  private var masked: [UInt8: LogPage] = [:]

  /// Keeps a request.
  /// - Returns: false when there are too many.
  mutating func keep(_ request: FetchedCommand) -> Bool {
    guard requests.count < Self.limit else { return false }
    requests.append(request)
    return true
  }

  /// Takes an event in; one like it that still waits makes it needless.
  mutating func add(_ event: AsynchronousEvent) {
    if masked[event.type] == nil, !waiting.contains(event) { waiting.append(event) }
  }

  /// An event that can be told, with the request that it completes.
  mutating func next() -> (request: FetchedCommand, event: AsynchronousEvent)? {
    guard !requests.isEmpty, let index = waiting.firstIndex(where: { masked[$0.type] == nil }) else {
      return nil
    }
    let event = waiting.remove(at: index)
    masked[event.type] = event.log
    return (requests.removeFirst(), event)
  }

  /// The host has read a log page, so that the type of the event that it tells of may be told again.
  mutating func unmask(_ log: LogPage) { masked = masked.filter { $0.value != log } }

  /// Takes a request out that is to be aborted.
  mutating func remove(identifier: UInt16) -> FetchedCommand? {
    guard let index = requests.firstIndex(where: { $0.entry.commandIdentifier == identifier }) else {
      return nil
    }
    return requests.remove(at: index)
  }
}
