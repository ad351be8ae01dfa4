import Block
import Control
import JSONValue

/// Records the commands of a mounted device for one client at a time, until that client stops it or
/// disconnects.
final class TraceService {
  private let device: NamespaceDevice
  private var client: UInt64?

  /// Commands kept until the client reads them.
  private static let capacity = 8192
  /// Commands of one answer, which has to fit into the socket's buffer.
  private static let batch = 256

  init(_ device: NamespaceDevice) { self.device = device }

  /// Starts a trace, returns the recorded commands, or stops it.
  func answer(_ request: ControlRequest) throws(ControlError) -> JSON {
    switch request.members["action"]?.text {
    case "start":
      guard client == nil || client == request.client else {
        throw ControlError("another client is tracing this device")
      }
      client = request.client
      device.startTrace(capacity: Self.capacity)
      return .object([("capacity", .integer(Self.capacity))])
    case "read":
      guard client == request.client else { throw ControlError("no trace was started") }
      let (commands, lost) = device.takeTrace(limit: Self.batch)
      return .object([
        ("lost", .integer(lost)), ("commands", .array(commands.map { TracedCommand($0).json })),
      ])
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
  }
}
