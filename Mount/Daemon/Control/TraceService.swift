import Block
import Control
import JSONValue

/// Records the commands of a mounted device for one client at a time, until that stops it or leaves.
final class TraceService {
  private let device: NamespaceDevice
  private var client: UInt64?

  /// Commands kept until the client takes them.
  private static let capacity = 8192
  /// Commands of one answer, which has to fit into the socket.
  private static let batch = 256

  init(_ device: NamespaceDevice) { self.device = device }

  /// Begins a trace, hands out what was recorded, or ends it.
  func answer(_ request: ControlRequest) throws(ControlError) -> JSON {
    switch request.members["action"]?.text {
    case "start":
      guard client == nil || client == request.client else {
        throw ControlError("somebody else is tracing this device")
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

  /// A client has gone.
  func leave(_ client: UInt64) {
    guard self.client == client else { return }
    self.client = nil
    device.stopTrace()
  }
}
