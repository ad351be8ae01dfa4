import JSONValue
import NVMeSpec

/// A command that a controller supports, and what it may change.
struct CommandEffects {
  /// `admin` or `io`.
  let kind: String
  let opcode: UInt8
  private let name: String
  private let effects: CommandEffectsLog.Effects

  init(_ kind: String, _ opcode: UInt8, _ name: String, _ effects: CommandEffectsLog.Effects) {
    self.kind = kind
    self.opcode = opcode
    self.name = name
    self.effects = effects
  }

  private var changes: [String] {
    let names: [(CommandEffectsLog.Effects, String)] = [
      (.changesData, "data"), (.changesNamespace, "namespace"), (.changesInventory, "inventory"),
      (.changesController, "controller"),
    ]
    return names.filter { effects.contains($0.0) }.map(\.1)
  }

  var json: JSON {
    .object([
      ("kind", .text(kind)), ("opcode", .integer(opcode)), ("command", .text(name)),
      ("changes", .array(changes.map { .text($0) })),
    ])
  }

  func add(to table: inout Table) {
    table.add(kind, hexadecimal(opcode, digits: 2) + "h", name, changes.joined(separator: ", "))
  }
}
