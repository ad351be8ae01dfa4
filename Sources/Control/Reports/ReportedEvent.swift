import JSONValue

/// An event of a filesystem's trace in readable form.
public struct ReportedEvent: Sendable {
  /// What it belongs to.
  public enum Actor: Sendable, Hashable, CustomStringConvertible {
    case request(slot: UInt16)
    /// A background job, by its name.
    case job(String)
    /// The device: the end of a command, and what follows from it.
    case device

    public var description: String {
      switch self {
      case .request(let slot): "slot \(slot)"
      case .job(let name): name
      case .device: "device"
      }
    }
  }

  /// What happened, in snake case.
  public let name: String
  /// Nanoseconds, monotonic.
  public let time: UInt64
  public let actor: Actor
  /// What is known of it.
  public let fields: [(name: String, value: JSON)]

  /// - Parameter kind: its name in camel case.
  public init(_ kind: String, time: UInt64, _ actor: Actor, _ fields: [(name: String, value: JSON)] = []) {
    name = Counts.name(kind)
    self.time = time
    self.actor = actor
    self.fields = fields
  }

  /// A field by its name; nil where the event has none of it.
  public subscript(name: String) -> JSON? { fields.first { $0.name == name }?.value }

  /// The fields as arguments of a call, without those named.
  public func arguments(without names: Set<String> = []) -> String {
    fields.filter { !names.contains($0.name) }.map { field in
      switch field.value {
      case .text(let text): "\(field.name) \(text)"
      case .bool(true): field.name
      default: "\(field.name) \(field.value.line)"
      }
    }.joined(separator: ", ")
  }

  /// `slot 3: wait(reason durability)`.
  public var text: String { "\(actor): \(name)(\(arguments()))" }

  public var json: JSON {
    let member: [(name: String, value: JSON)] =
      switch actor {
      case .request(let slot): [("slot", .integer(slot))]
      case .job(let name): [("job", .text(name))]
      case .device: []
      }
    return .object([("event", .text(name)), ("time_ns", .integer(time))] + member + fields)
  }

  /// Parses the form of `json`; nil when it is malformed.
  public init?(_ json: JSON) {
    guard let name = json["event"]?.text, let time = json["time_ns"]?.integer(UInt64.self) else { return nil }
    self.name = name
    self.time = time
    if let slot = json["slot"]?.integer(UInt16.self) {
      actor = .request(slot: slot)
    } else if let job = json["job"]?.text {
      actor = .job(job)
    } else {
      actor = .device
    }
    fields = json.members.filter { !["event", "time_ns", "slot", "job"].contains($0.name) }
  }
}
