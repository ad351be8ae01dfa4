import ArgumentParser
import Device
import NVMe
import PCI

/// `varve reset`: a controller reset, or one of the PCI function before it.
struct Reset: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Reset a controller and see whether it comes back.",
    discussion: """
      Nothing on it is lost. Refused while the device is mounted or in use. --function resets the PCI function first, \
      which helps where a controller does not listen any more.
      """)

  @OptionGroup var target: DeviceArgument

  @Flag(help: "Reset the PCI function first.")
  var function = false

  @OptionGroup var output: OutputOptions

  func run() throws {
    if function { try resetFunction() }
    try target.withController { controller, _ in
      try controller.resetAndWait()
      let namespaces = controller.namespaces.count
      output.print(
        controller.report,
        normal: "\(controller.function.name) was reset and is ready: \(controller.identity.modelNumber), "
          + "\(namespaces) namespace\(namespaces == 1 ? "" : "s")")
    }
  }

  private func resetFunction() throws {
    guard case .function(let address, _) = try DeviceName(target.device) else {
      throw DeviceError("\(target.device) is no PCI function; leave --function away")
    }
    let function = try DeviceLocator.function(at: address)
    defer { function.close() }
    try function.reset()
  }
}
