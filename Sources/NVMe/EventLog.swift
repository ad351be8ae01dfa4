import NVMeSpec

/// The last asynchronous events a controller reported, oldest first.
public struct EventLog: Sendable {
  /// How many are kept.
  public static let capacity = 32
  /// The events, oldest first.
  public private(set) var entries: [AsynchronousEvent] = []
  /// How many events there have been.
  public private(set) var count = 0

  mutating func append(_ event: AsynchronousEvent) {
    if entries.count == Self.capacity { entries.removeFirst() }
    entries.append(event)
    count += 1
  }
}
