import Control
import FileProtocol
import FileSystem
import Format
import JSONValue

extension FileSystem {
  /// An event of its trace in readable form.
  func report(_ event: TracedEvent) -> ReportedEvent {
    let actor: ReportedEvent.Actor =
      if event.actor == TracedEvent.noActor {
        .device
      } else if let job = jobName(of: event) {
        .job(job)
      } else {
        .request(slot: event.actor)
      }
    return ReportedEvent("\(event.kind)", time: event.time, actor, fields(of: event))
  }

  private func fields(of event: TracedEvent) -> [(name: String, value: JSON)] {
    let detail = JSON.text(Self.detailName(of: event) ?? "\(event.detail)")
    let blocks: [(name: String, value: JSON)] = [
      ("block", .integer(event.place)), ("blocks", .integer(event.count)),
    ]
    switch event.kind {
    case .request:
      let range: [(name: String, value: JSON)] = [
        ("offset", .integer(event.offset)), ("length", .integer(event.count)),
      ]
      return [("operation", detail), ("inode", .integer(NodeID(raw: event.place).number))]
        + (event.count > 0 ? range : [])
    case .wait: return [("reason", detail)]
    case .command:
      let fua: [(name: String, value: JSON)] = event.code == 0 ? [] : [("fua", .bool(true))]
      return [("operation", detail), ("number", .integer(event.number))] + (event.count > 0 ? blocks : [])
        + fua
    case .completion: return [("number", .integer(event.number)), ("errno", .integer(Int(event.code)))]
    case .logWrite: return [("head", detail), ("sequence", .integer(event.offset))] + blocks
    case .checkpoint: return [("phase", detail), ("checkpoint", .integer(event.offset))]
    case .cleaning: return [("block", .integer(event.place)), ("live_blocks", .integer(event.count))]
    case .step: return [("began_ns", .integer(event.offset))]
    case .finish: return [("errno", .integer(Int(event.code)))]
    case .held, .resume, .reply: return []
    }
  }

  /// The `waits` of `varve stat`: each reason with the requests that wait for it now, and the waits that have
  /// ended.
  var waitReport: JSON {
    let waits = waits
    return .array(
      WaitReason.allCases.map { reason in
        let total = waits[reason]
        return .object([
          ("reason", .text("\(reason)")), ("waiting", .integer(total.waiting)),
          ("waiting_ns", .integer(total.waitingFor)), ("waited", .integer(total.count)),
          ("total_ns", .integer(total.nanoseconds)), ("longest_ns", .integer(total.longest)),
        ])
      })
  }
}
