import ArgumentParser
import Device
import NVMe

/// The device a command works on.
struct DeviceArgument: ParsableArguments {
  @Argument(help: "The device: nvme://0000:01:00.0/1, an image file, UUID=… or LABEL=….")
  var device: String

  /// Brings the device's controller up, lends it and the number of the namespace that was named, and shuts it down.
  func withController<Result>(_ body: (Controller, UInt32) throws -> Result) throws -> Result {
    let (controller, namespace) = try DeviceLocator.openController(device, whenWaiting: Varve.complain)
    defer { controller.close() }
    return try body(controller, namespace)
  }
}
