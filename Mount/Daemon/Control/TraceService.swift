import Block
import CMachine
import Control
import FileProtocol
import FileSystem
import JSONValue

/// Records the events of a mounted filesystem and the commands of its device for one client at a time, until
/// that client stops it or disconnects.
final class TraceService {
  private let device: NamespaceDevice
  private let service: FileSystem
  private var client: UInt64?
  private var reader: EventTrace.Reader?

  /// Commands kept until the client reads them.
  private static let capacity = 8192
  /// Events and commands of one answer, which has to fit into the socket's buffer.
  private static let batch = 256

  init(_ device: NamespaceDevice, _ service: FileSystem) {
    self.device = device
    self.service = service
  }

  /// Starts a trace, returns what was recorded, or stops it.
  func answer(_ request: ControlRequest) throws(ControlError) -> JSON {
    switch request.members["action"]?.text {
    case "start":
      guard client == nil || client == request.client else {
        throw ControlError("another client is tracing this device")
      }
      leave(request.client)
      client = request.client
      device.startTrace(capacity: Self.capacity)
      reader = service.effects.trace.begin(clock: cm_monotonic_ns)
      return .object([("capacity", .integer(Self.capacity))])
    case "read":
      guard client == request.client else { throw ControlError("no trace was started") }
      return read()
    case "stop":
      leave(request.client)
      return .null
    default: throw ControlError("'action' is none of start, read and stop")
    }
  }

  /// Stops the trace of a client that has disconnected.
  func leave(_ client: UInt64) {
    guard self.client == client else { return }
    self.client = nil
    device.stopTrace()
    if let reader { service.effects.trace.end(reader) }
    reader = nil
  }

  /// The next events; and commands, once there are no more events: so the event of a command comes before it.
  private func read() -> JSON {
    guard var reader else { return .null }
    let events = service.effects.trace.take(&reader, limit: Self.batch)
    self.reader = reader
    let limit = events.count < Self.batch ? Self.batch : 0
    let (commands, lost) = device.takeTrace(limit: limit)
    return .object([
      ("lost", .integer(lost)), ("lost_events", .integer(reader.lost)),
      ("events", .array(events.map { service.report($0).json })),
      ("commands", .array(commands.map { TracedCommand($0).json })),
    ])
  }
}
