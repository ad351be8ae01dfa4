import ArgumentParser
import Control
import Device
import NVMe

/// The device a command works on, which no other process may use.
struct DeviceArgument: ParsableArguments {
  @Argument(
    help: "The device: nvme://0000:01:00.0/1, vfio-user:///run/ctl/cntrl, an image file, UUID=… or LABEL=….")
  var device: String

  /// Refuses a device while any namespace of its controller is mounted, by name; then brings its controller up, lends it and the number of the namespace that was named, and shuts it down.
  func withController<Result>(_ body: (Controller, UInt32) throws -> Result) throws -> Result {
    try Daemons.requireNone(on: device)
    let (controller, namespace) = try DeviceLocator.openController(device, whenWaiting: Varve.complain)
    defer { controller.close() }
    return try body(controller, namespace)
  }
}

/// The device or the mount a command asks, in use or not.
struct DeviceOrMountArgument: ParsableArguments {
  @Argument(
    help: ArgumentHelp(
      "The device, or where it is mounted: nvme://0000:01:00.0/1, vfio-user:///run/ctl/cntrl, an image file, UUID=…, LABEL=…, /mnt.",
      valueName: "device|mount"))
  var device: String

  /// Lends something that answers for the controller: the daemon that has the device, where one has, and otherwise the
  /// controller itself, which is shut down afterwards.
  func withSource<Result>(_ body: (any ControllerSource) throws -> Result) throws -> Result {
    if let daemon = try ServingDaemon.find(device) { return try body(daemon) }
    return try DeviceArgument.parse([device]).withController { controller, _ in try body(controller) }
  }
}
