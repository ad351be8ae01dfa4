import ArgumentParser
import PCI

extension FunctionAddress: ExpressibleByArgument {
  public init?(argument: String) { self.init(argument) }
}

/// `varve bind`: takes a controller from the kernel.
struct Bind: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Give an NVMe controller to vfio-pci, so that Varve can drive it.",
    discussion: "Refused while anything uses one of its block devices. Needs root.")

  @Argument(help: "The controller's PCI address, such as 0000:01:00.0.")
  var address: FunctionAddress

  func run() throws {
    let function = try Binding.bind(address)
    print("\(address) is bound to vfio-pci; its device is /dev/vfio/\(function.group.map(String.init) ?? "")")
  }
}

/// `varve unbind`: gives a controller back to the kernel.
struct Unbind: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Give an NVMe controller back to the kernel's own driver.",
    discussion: "Refused while a process has it open. Needs root.")

  @Argument(help: "The controller's PCI address, such as 0000:01:00.0.")
  var address: FunctionAddress

  func run() throws {
    let function = try Binding.unbind(address)
    print("\(address) is bound to \(function.driver ?? "no driver")")
  }
}
