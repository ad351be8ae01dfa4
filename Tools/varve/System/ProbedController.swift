import Block
import Device
import JSONValue
import NVMe
import PCIHost

/// What a controller that was brought up says of itself and of the filesystems on it.
struct ProbedController {
  private struct Found {
    let namespace: Namespace
    /// Nil where there is no Varve filesystem.
    let filesystem: Identity?
  }

  private let address: FunctionAddress
  private let model: String
  private let serial: String
  private let firmware: String
  private let namespaces: [Found]
  /// Why the controller could not be looked at; nil when it was.
  private let problem: String?

  /// Opens a controller bound to vfio-pci, looks, and shuts it down. It does not wait for one that is in use.
  init(at address: FunctionAddress) {
    self.address = address
    do throws(DeviceError) {
      let (controller, _) = try DeviceLocator.openController("nvme://\(address)", patience: 0)
      defer { controller.close() }
      model = controller.identity.modelNumber
      serial = controller.identity.serialNumber
      firmware = controller.identity.firmwareRevision
      namespaces = controller.namespaces.map { namespace in
        Found(namespace: namespace, filesystem: try? Identity(of: namespace.identifier, at: controller))
      }
      problem = nil
    } catch {
      (model, serial, firmware) = ("", "", "")
      namespaces = []
      problem = error.description
    }
  }

  var json: JSON {
    if let problem { return .object([("problem", .text(problem))]) }
    return .object([
      ("model", .text(model)), ("serial", .text(serial)), ("firmware", .text(firmware)),
      ("namespaces", .array(namespaces.map(Self.json))),
    ])
  }

  private static func json(_ found: Found) -> JSON {
    let filesystem = found.filesystem.map { identity in
      JSON.object(NameBytes(identity.label).members("label") + [("uuid", .text(identity.uuidText))])
    }
    return .object([
      ("nsid", .integer(found.namespace.identifier)), ("blocks", .integer(found.namespace.lbaCount)),
      ("block_size", .integer(found.namespace.lbaSize)), ("obstacle", .text(found.namespace.obstacle)),
      ("filesystem", filesystem ?? .null),
    ])
  }

  /// The heading of the table that `add` fills.
  static var table: Table {
    Table("Device", "Model", "Serial", "Firmware", "Size", "Format", "Label", "UUID")
  }

  /// Adds a row for each namespace, or one that says what went wrong.
  func add(to table: inout Table) {
    if let problem { return table.add("nvme://\(address)", problem) }
    if namespaces.isEmpty { table.add("nvme://\(address)", model, serial, firmware, "no namespace") }
    for found in namespaces {
      table.add(
        "nvme://\(address)/\(found.namespace.identifier)", model, serial, firmware,
        found.namespace.sizeText(blocks: found.namespace.lbaCount), found.namespace.formatText,
        found.filesystem.map { NameBytes($0.label).text } ?? "", found.filesystem?.uuidText ?? "")
    }
  }
}
