import JSONValue

/// One thing the machine must have, or could have, and whether it does.
struct Check {
  enum State: String {
    /// All is well.
    case ok
    /// Something works less well than it could.
    case note
    /// Something does not work.
    case missing
  }

  let name: String
  let state: State
  /// What was found.
  let finding: String
  /// The command or act that mends it; empty where nothing has to be.
  let remedy: String

  init(_ name: String, _ state: State, _ finding: String, remedy: String = "") {
    self.name = name
    self.state = state
    self.finding = finding
    self.remedy = remedy
  }

  /// A check that found all well.
  init(_ name: String, _ finding: String) { self.init(name, .ok, finding) }

  var json: JSON {
    .object([
      ("check", .text(name)), ("state", .text(state.rawValue)), ("finding", .text(finding)),
      ("remedy", remedy.isEmpty ? .null : .text(remedy)),
    ])
  }

  /// A line of what was found, and one of what mends it.
  var text: String {
    let mark = state.rawValue + String(repeating: " ", count: 7 - state.rawValue.count)
    let line = "\(mark)  \(name): \(finding)"
    return remedy.isEmpty ? line : "\(line)\n         \(remedy)"
  }
}
