import Block
import BlockProtocol
import EmulatedController
import Glibc
import NVMe
import PCI
import PCIHost
import VFIO
import VFIOUser

/// Opens devices by name.
public enum DeviceLocator {
  /// How long an opener waits for a daemon that is just closing the device (ns).
  public static let patience: UInt64 = 10_000_000_000
  private static let retryInterval: UInt32 = 100_000

  /// Opens the device called `name` exclusively.
  ///
  /// When another process holds it, the call waits at most `patience` for that to close it.
  /// - Parameters:
  ///   - name: a name as `DeviceName` reads it.
  ///   - arena: the memory of the device's commands; it is mapped for the device.
  ///   - whenWaiting: called once with what the call waits for.
  /// - Throws: `DeviceError`, in one line with the remedy.
  public static func open(
    _ name: String, arena: DMAArena, patience: UInt64 = patience, whenWaiting: (String) -> Void = { _ in }
  ) throws(DeviceError) -> any BlockDevice {
    let (controller, namespace) = try openController(name, patience: patience, whenWaiting: whenWaiting)
    do throws(BlockDeviceError) {
      return try NamespaceDevice(controller: controller, namespace: namespace, arena: arena)
    } catch {
      controller.close()
      throw DeviceError("\(error)")
    }
  }

  /// Opens a device with a new arena.
  /// - Parameter frames: 4 KiB frames of the arena.
  public static func open(
    _ name: String, arenaFrames frames: Int, patience: UInt64 = patience,
    whenWaiting: (String) -> Void = { _ in }
  ) throws(DeviceError) -> any BlockDevice {
    let arena: DMAArena
    do throws(FunctionError) { arena = try DMAArena(frames: frames) } catch {
      throw DeviceError(error.description)
    }
    return try open(name, arena: arena, patience: patience, whenWaiting: whenWaiting)
  }

  /// Brings up the controller of the device called `name`, exclusively.
  ///
  /// It waits for another process to close it, as `open` does.
  /// - Parameter options: the options of the controller.
  /// - Returns: the controller, which the caller closes, and the namespace in the name, whether it exists or
  ///   not.
  /// - Throws: `DeviceError`, in one line with the remedy.
  public static func openController(
    _ name: String, options: ControllerOptions = ControllerOptions(), patience: UInt64 = patience,
    whenWaiting: (String) -> Void = { _ in }
  ) throws(DeviceError) -> (controller: Controller, namespace: UInt32) {
    let device = try DeviceName(name)
    var options = options
    try DriverKeys(of: name).apply(to: &options)
    let deadline = Deadline(in: patience)
    var waits = false
    while true {
      do throws(DeviceError) {
        return try openOnce(device, options)
      } catch {
        guard error.isBusy, deadline.nanoseconds > 0 else { throw error }
        if !waits { whenWaiting("\(error); waiting for it to leave") }
        waits = true
        usleep(retryInterval)
      }
    }
  }

  private static func openOnce(
    _ device: DeviceName, _ options: ControllerOptions
  ) throws(DeviceError) -> (Controller, UInt32) {
    switch device {
    case .function(let address, let namespace):
      return (try controller(behind: try function(at: address), options), namespace)
    case .image(let path, let namespace, let choices):
      return (try controller(behind: try emulated(path, choices), options), namespace)
    case .vfioUser(let path, let namespace):
      return (try controller(behind: try served(at: path), options), namespace)
    case .uuid(let uuid): return try find("UUID=\(uuid)", options) { $0.uuidText == uuid }
    case .label(let label):
      return try find("LABEL=\(label)", options) { String(decoding: $0.label, as: UTF8.self) == label }
    }
  }

  /// A PCI function bound to vfio-pci.
  public static func function(at address: FunctionAddress) throws(DeviceError) -> any PCIFunction {
    do throws(FunctionError) { return try VFIOFunction(at: address) } catch { throw DeviceError(error) }
  }

  /// The PCI function behind a vfio-user server's socket.
  public static func served(at path: String) throws(DeviceError) -> any PCIFunction {
    do throws(FunctionError) { return try VFIOUserFunction(socket: path) } catch { throw DeviceError(error) }
  }

  /// The emulated controller over an image file.
  public static func emulated(_ path: String, _ options: [DeviceName.Option]) throws(DeviceError)
    -> EmulatedController
  {
    let configuration: EmulatedController.Configuration
    do throws(ConfigurationError) {
      configuration = try EmulatedController.Configuration(
        image: path, options: options.map { ($0.key, $0.value) })
    } catch { throw DeviceError("\(error)") }
    do throws(FunctionError) {
      return try EmulatedController(configuration, name: path)
    } catch { throw DeviceError(error) }
  }

  /// Brings the controller behind `function` up.
  private static func controller(
    behind function: any PCIFunction, _ options: ControllerOptions
  ) throws(DeviceError) -> Controller {
    do throws(ControllerError) {
      return try Controller.open(function, options: options)
    } catch {
      function.close()
      throw DeviceError("\(error)")
    }
  }

  /// Searches the NVMe functions bound to VFIO for a filesystem.
  private static func find(
    _ text: String, _ options: ControllerOptions, _ matches: (Identity) -> Bool
  ) throws(DeviceError) -> (Controller, UInt32) {
    var busy: [DeviceError] = []
    for info in Discovery.functions() where info.isBoundToVFIO {
      do throws(DeviceError) {
        let controller = try controller(behind: try function(at: info.address), options)
        let found = controller.namespaces.map(\.identifier).first { namespace in
          (try? Identity(of: namespace, at: controller)).map(matches) == true
        }
        if let found { return (controller, found) }
        controller.close()
      } catch {
        busy.append(error)
      }
    }
    let others = busy.isEmpty ? "" : " (not looked at: \(busy.map(\.description).joined(separator: "; ")))"
    throw DeviceError(
      "no namespace bound to VFIO holds a varve filesystem with \(text)\(others); see 'varve list'",
      isBusy: busy.contains(where: \.isBusy))
  }
}

extension DeviceError {
  init(_ error: FunctionError) { self.init(error.description, isBusy: error.errno == EBUSY) }
}
