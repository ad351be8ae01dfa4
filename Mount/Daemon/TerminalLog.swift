import Device
import Logging

/// Prints log messages to standard error, with control characters escaped: messages may contain text of
/// devices and peers.
struct TerminalLog: LogHandler {
  private var handler: StreamLogHandler

  init(label: String) { handler = .standardError(label: label) }

  var metadata: Logger.Metadata {
    get { handler.metadata }
    set { handler.metadata = newValue }
  }
  var logLevel: Logger.Level {
    get { handler.logLevel }
    set { handler.logLevel = newValue }
  }
  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { handler[metadataKey: key] }
    set { handler[metadataKey: key] = newValue }
  }

  func log(event: LogEvent) {
    var event = event
    event.message = "\(event.message.description.printable)"
    handler.log(event: event)
  }
}
