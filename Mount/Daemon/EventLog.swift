import CMachine
import Control
import FileProtocol
import FileSystem
import Logging

/// Writes each event of a mount to the log (`-o trace`).
///
/// It is written after the turn in which it happened, so that the log's slowness does not lie between a
/// request and its command. A line that the log has no room for is lost.
final class EventLog {
  private let service: FileSystem
  private let log: Logger
  private var reader: EventTrace.Reader
  private var toldLost: UInt64 = 0

  init(_ service: FileSystem, _ log: Logger) {
    self.service = service
    self.log = log
    reader = service.effects.trace.begin(clock: cm_monotonic_ns)
  }

  /// Writes the events since the last call.
  func pass() {
    let events = service.effects.trace.take(&reader)
    if reader.lost > toldLost { log.trace("\(reader.lost - toldLost) events were too many to be recorded") }
    toldLost = reader.lost
    for event in events { log.trace("\(Self.seconds(event.time)) \(service.report(event).text)") }
  }

  /// A time in seconds, with microseconds: a log's own times are too coarse.
  private static func seconds(_ nanoseconds: UInt64) -> String {
    let microseconds = "\(nanoseconds / 1000 % 1_000_000)"
    return "\(nanoseconds / 1_000_000_000)." + String(repeating: "0", count: 6 - microseconds.count)
      + microseconds
  }
}
