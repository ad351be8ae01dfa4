import BlockProtocol

/// A ring of the last events of a filesystem and its reactor.
///
/// It is off until a reader begins: what records checks `isOn`, and that is all it costs then. Its memory is
/// allocated at that moment, so that recording allocates nothing; when readers are slower than events, the
/// oldest are overwritten and counted.
///
/// The service has no clock, and events of one turn of the reactor have the same time for it. So who begins
/// to read supplies a clock. Nothing that is recorded affects what the service does.
public final class EventTrace {
  /// A reader's place in the ring. Each reader gets all events since it began.
  public struct Reader {
    /// The number of the next event.
    fileprivate var next: UInt64
    /// Events that were overwritten before they were taken.
    public fileprivate(set) var lost: UInt64 = 0
  }

  /// How many events are kept.
  public static let capacity = 8192

  /// Whether events are recorded.
  public private(set) var isOn = false
  /// What runs: the actor of the events to come.
  public var actor = TracedEvent.noActor
  private var readers = 0
  private var events: UnsafeMutablePointer<TracedEvent>?
  /// Events recorded so far: the number of the next.
  private var made: UInt64 = 0
  private var lastNumber: UInt32 = 0
  private var clock: () -> UInt64 = { 0 }

  /// Commands are numbered below this (30 bits).
  private static let numberLimit: UInt32 = 1 << 30

  public init() {}

  deinit { events?.deallocate() }

  // MARK: Reading

  /// Begins to record, unless there is a reader already.
  /// - Parameter clock: nanoseconds, monotonic.
  public func begin(clock: @escaping () -> UInt64) -> Reader {
    if readers == 0 {
      self.clock = clock
      let events = UnsafeMutablePointer<TracedEvent>.allocate(capacity: Self.capacity)
      events.initialize(repeating: TracedEvent(.step), count: Self.capacity)
      self.events = events
      isOn = true
    }
    readers += 1
    return Reader(next: made)
  }

  /// A reader has ended; with the last one, recording ends.
  public func end(_ reader: consuming Reader) {
    readers -= 1
    guard readers == 0 else { return }
    isOn = false
    events?.deallocate()
    events = nil
  }

  /// Takes the oldest events that a reader has not had, at most `limit`.
  public func take(_ reader: inout Reader, limit: Int = .max) -> [TracedEvent] {
    guard let events else { return [] }
    let oldest = made - min(made, UInt64(Self.capacity))
    if reader.next < oldest {
      reader.lost += oldest - reader.next
      reader.next = oldest
    }
    let count = min(made - reader.next, UInt64(clamping: limit))
    let range = reader.next..<reader.next + count
    reader.next = range.upperBound
    return range.map { events[Int($0 % UInt64(Self.capacity))] }
  }

  // MARK: Recording

  /// The time on the trace's clock.
  public var time: UInt64 { clock() }

  /// Records an event of what runs.
  public func record(_ event: TracedEvent) { record(event, of: actor) }

  /// Records an event of a request or job. Does nothing while the trace is off.
  @inline(never)
  public func record(_ event: TracedEvent, of actor: UInt16) {
    guard let events else { return }
    let place = events + Int(made % UInt64(Self.capacity))
    place.pointee = event
    place.pointee.time = clock()
    place.pointee.actor = actor
    made += 1
  }

  /// Numbers a command and records it.
  @inline(never)
  func number(_ command: BlockCommand) -> BlockCommand {
    lastNumber = lastNumber + 1 < Self.numberLimit ? lastNumber + 1 : 1
    var command = command
    command.number = lastNumber
    var event = TracedEvent(.command, detail: command.operation.rawValue)
    event.number = lastNumber
    event.place = command.block
    event.count = command.count
    event.code = command.forceUnitAccess ? 1 : 0
    record(event)
    return command
  }
}
