import ArgumentParser
import JSONValue
import PCIHost

extension FunctionAddress: ExpressibleByArgument {
  public init?(argument: String) { self.init(argument) }
}

/// `varve bind`: takes a controller from the kernel.
struct Bind: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Give an NVMe controller to vfio-pci, so that Varve can drive it.",
    discussion: """
      Refused while anything uses one of its block devices: a mount, swap, a volume or array, a process. --force \
      overrides processes that have one open, and nothing else. Needs root.
      """)

  @Argument(help: "The controller's PCI address, such as 0000:01:00.0.")
  var address: FunctionAddress
  @Flag(name: .shortAndLong, help: "Bind although a process has a block device of it open.")
  var force = false

  @OptionGroup var output: OutputOptions

  func run() throws {
    let function = try Binding.bind(address, force: force)
    output.print(
      function.bindingJSON,
      normal: "\(address) is bound to vfio-pci; its device is /dev/vfio/"
        + (function.group.map(String.init) ?? ""))
  }
}

/// `varve unbind`: gives a controller back to the kernel.
struct Unbind: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Give an NVMe controller back to the kernel's own driver.",
    discussion: "Refused while a process has it open. Needs root.")

  @Argument(help: "The controller's PCI address, such as 0000:01:00.0.")
  var address: FunctionAddress

  @OptionGroup var output: OutputOptions

  func run() throws {
    let function = try Binding.unbind(address)
    output.print(
      function.bindingJSON, normal: "\(address) is bound to \(function.driver ?? "no driver")")
  }
}

extension FunctionInfo {
  /// Who has the function.
  fileprivate var bindingJSON: JSON {
    .object([
      ("address", .text("\(address)")), ("driver", .text(driver)), ("iommu_group", .integer(group)),
      (
        "device",
        .text(isBoundToVFIO ? group.map { "/dev/vfio/\($0)" } : nil)
      ),
    ])
  }
}
