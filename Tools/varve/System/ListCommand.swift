import ArgumentParser
import PCI

/// `varve list`: the machine's NVMe controllers.
struct List: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "List the NVMe controllers with their drivers and uses.",
    discussion: "No controller is touched.")

  @OptionGroup var system: SystemOptions
  @OptionGroup var output: OutputOptions

  func run() {
    let controllers = Discovery.functions(in: system.tree).map { ListedController($0, in: system.tree) }
    output.print(
      .object([("controllers", .array(controllers.map(\.json)))]), normal: text(controllers))
  }

  private func text(_ controllers: [ListedController]) -> String {
    guard !controllers.isEmpty else { return "There is no NVMe controller on the PCI bus." }
    var table = Table("Address", "ID", "Driver", "Group", "NUMA", "Block devices", "In use", "Name")
    for controller in controllers { controller.add(to: &table) }
    return table.text
  }
}

/// A controller with all that can be said of it from outside.
struct ListedController {
  private let function: FunctionInfo
  private let blockDevices: [String]
  private let uses: [String]

  init(_ function: FunctionInfo, in tree: SystemTree) {
    self.function = function
    blockDevices = function.blockDevices(in: tree)
    var uses = BlockUse.all(of: function, in: tree).map(\.description)
    if function.isBoundToVFIO, let group = function.group {
      uses += OpenFiles.holders(of: "\(tree.dev)/vfio/\(group)", in: tree).map { "held by \($0)" }
    }
    self.uses = uses
  }

  private var identifier: String {
    "\(hexadecimal(function.vendor, digits: 4)):\(hexadecimal(function.device, digits: 4))"
  }

  var json: JSON {
    .object([
      ("address", .text("\(function.address)")), ("id", .text(identifier)),
      ("name", .text(function.description)), ("driver", .text(function.driver)),
      ("iommu_group", .integer(function.group)), ("numa_node", .integer(function.numaNode)),
      ("block_devices", .array(blockDevices.map { .text($0) })), ("uses", .array(uses.map { .text($0) })),
    ])
  }

  func add(to table: inout Table) {
    table.add(
      "\(function.address)", identifier, function.driver ?? "", function.group.map(String.init) ?? "",
      function.numaNode.map(String.init) ?? "", blockDevices.joined(separator: " "),
      uses.joined(separator: "; "), function.description)
  }
}
