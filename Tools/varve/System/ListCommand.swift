import ArgumentParser
import Control
import PCIHost
import SystemFiles
import JSONValue

/// `varve list`: the machine's NVMe controllers.
struct List: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "List the NVMe controllers with their drivers and uses.",
    discussion: """
      No controller is touched without --probe, which brings those up that are bound to vfio-pci and not in use, \
      and shows their namespaces and the filesystems on them.
      """)

  @Flag(help: "Look into the controllers that are bound to vfio-pci.")
  var probe = false

  @OptionGroup var system: SystemOptions
  @OptionGroup var output: OutputOptions

  func run() {
    let served = system.isThisMachine ? Daemons.mounts().map(\.serves) : []
    let controllers = Discovery.functions(in: system.tree).map {
      ListedController($0, in: system.tree, probes: probe, served: served)
    }
    output.print(
      .object([("controllers", .array(controllers.map(\.json)))]), normal: text(controllers))
  }

  private func text(_ controllers: [ListedController]) -> String {
    guard !controllers.isEmpty else { return "There is no NVMe controller on the PCI bus." }
    var table = Table("Address", "ID", "Driver", "Group", "NUMA", "Block devices", "In use", "Name")
    for controller in controllers { controller.add(to: &table) }
    var parts = [table.text]
    if controllers.contains(where: { $0.probed != nil }) {
      var namespaces = ProbedController.table
      for controller in controllers { controller.probed?.add(to: &namespaces) }
      parts.append(namespaces.text)
    }
    let filesystems = controllers.flatMap(\.filesystems)
    if !filesystems.isEmpty {
      var table = Table("Device", "Label", "UUID", "Mounted at")
      for found in filesystems { found.add(to: &table) }
      parts.append(table.text)
    }
    return parts.joined(separator: "\n\n")
  }
}

/// A controller with all that can be said of it from outside, and from inside where that was asked for.
struct ListedController {
  private let function: FunctionInfo
  private let blockDevices: [String]
  private let uses: [String]
  /// What the controller is called by its maker; nil where only the controller itself could tell.
  private let model: String?
  /// The filesystems that can be seen without touching the controller.
  let filesystems: [FoundFilesystem]
  /// Nil where the controller was not touched.
  let probed: ProbedController?

  init(_ function: FunctionInfo, in tree: SystemTree, probes: Bool, served: [ServedDevice]) {
    self.function = function
    blockDevices = function.blockDevices(in: tree)
    model = function.kernelModel(in: tree)
    filesystems =
      blockDevices.compactMap { FoundFilesystem(onBlockDevice: $0, in: tree) }
      + served.filter { $0.kind == .function && $0.location == "\(function.address)" }.map(
        FoundFilesystem.init)
    var uses = BlockUse.all(of: function, in: tree).map(\.description)
    if function.isBoundToVFIO, let group = function.group {
      uses += OpenFiles.holders(of: "\(tree.dev)/vfio/\(group)", in: tree).map { "held by \($0)" }
    }
    self.uses = uses
    probed = probes && function.isBoundToVFIO ? ProbedController(at: function.address) : nil
  }

  private var identifier: String {
    "\(hexadecimal(function.vendor, digits: 4)):\(hexadecimal(function.device, digits: 4))"
  }

  var json: JSON {
    .object(members + (probed.map { [("controller", $0.json)] } ?? []))
  }

  private var members: [(name: String, value: JSON)] {
    [
      ("address", .text("\(function.address)")), ("id", .text(identifier)),
      ("name", .text(function.description)), ("model", .text(model)), ("driver", .text(function.driver)),
      ("iommu_group", .integer(function.group)), ("numa_node", .integer(function.numaNode)),
      ("block_devices", .array(blockDevices.map { .text($0) })), ("uses", .array(uses.map { .text($0) })),
      ("filesystems", .array(filesystems.map(\.json))),
    ]
  }

  func add(to table: inout Table) {
    table.add(
      "\(function.address)", identifier, function.driver ?? "", function.group.map(String.init) ?? "",
      function.numaNode.map(String.init) ?? "", blockDevices.joined(separator: " "),
      uses.joined(separator: "; "), model ?? function.description)
  }
}
