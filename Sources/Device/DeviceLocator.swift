import Block
import EmulatedController
import Glibc
import NVMe
import PCI
import VFIO

/// Opens devices by name.
public enum DeviceLocator {
  /// How long an opener waits for a daemon that is just leaving, in milliseconds.
  public static let patience = 10_000
  private static let retryInterval: UInt32 = 100_000

  /// Opens the device called `name`, alone: nobody else can have it open.
  ///
  /// When a process holds it that may be just leaving, the call waits for it, at most `patience`.
  /// - Parameters:
  ///   - name: a name as `DeviceName` reads it.
  ///   - arena: the memory of the device's commands; it is mapped for the device.
  ///   - whenWaiting: told once what is waited for.
  /// - Throws: `DeviceError`, in one line with the remedy.
  public static func open(
    _ name: String, arena: DMAArena, patience: Int = patience, whenWaiting: (String) -> Void = { _ in }
  ) throws(DeviceError) -> any BlockDevice {
    let device = try DeviceName(name)
    var waited = 0
    while true {
      do throws(DeviceError) {
        return try openOnce(device, arena)
      } catch {
        guard error.isBusy, waited < patience else { throw error }
        if waited == 0 { whenWaiting("\(error); waiting for it to leave") }
        usleep(retryInterval)
        waited += Int(retryInterval) / 1000
      }
    }
  }

  /// Opens a device with an arena of its own.
  /// - Parameter frames: 4 KiB frames of the arena.
  public static func open(
    _ name: String, arenaFrames frames: Int, patience: Int = patience,
    whenWaiting: (String) -> Void = { _ in }
  ) throws(DeviceError) -> any BlockDevice {
    let arena: DMAArena
    do throws(FunctionError) { arena = try DMAArena(frames: frames) } catch {
      throw DeviceError(error.description)
    }
    return try open(name, arena: arena, patience: patience, whenWaiting: whenWaiting)
  }

  private static func openOnce(_ device: DeviceName, _ arena: DMAArena) throws(DeviceError) -> any BlockDevice
  {
    switch device {
    case .function(let address, let namespace):
      return try openNamespace(try function(at: address), namespace, arena)
    case .image(let path, let namespace, let options):
      return try openNamespace(try emulated(path, options), namespace, arena)
    case .vfioUser(let path, _):
      throw DeviceError(
        "\(path): controllers behind vfio-user sockets cannot be used yet; use nvme:// or an image file")
    case .uuid(let uuid): return try find("UUID=\(uuid)", arena) { $0.uuidText == uuid }
    case .label(let label):
      return try find("LABEL=\(label)", arena) { String(decoding: $0.label, as: UTF8.self) == label }
    }
  }

  /// A PCI function bound to vfio-pci.
  public static func function(at address: FunctionAddress) throws(DeviceError) -> any Function {
    do throws(FunctionError) { return try VFIOFunction(at: address) } catch { throw DeviceError(error) }
  }

  /// The emulated controller over an image file.
  public static func emulated(_ path: String, _ options: [DeviceName.Option]) throws(DeviceError)
    -> any Function
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

  /// Brings the controller behind `function` up and opens one of its namespaces.
  private static func openNamespace(
    _ function: any Function, _ namespace: UInt32, _ arena: DMAArena
  ) throws(DeviceError) -> any BlockDevice {
    do {
      let controller = try Controller.open(function)
      return try NamespaceDevice(controller: controller, namespace: namespace, arena: arena)
    } catch {
      function.close()
      throw DeviceError("\(error)")
    }
  }

  /// Looks through the NVMe functions bound to VFIO for a filesystem.
  private static func find(
    _ text: String, _ arena: DMAArena, _ matches: (Identity) -> Bool
  ) throws(DeviceError) -> any BlockDevice {
    let functions = Discovery.functions()
    var busy: [String] = []
    for info in functions where info.driver == "vfio-pci" {
      let controller: Controller
      do {
        controller = try Controller.open(try function(at: info.address))
      } catch {
        busy.append("\(error)")
        continue
      }
      for namespace in controller.namespaces {
        guard
          let device = try? NamespaceDevice(
            controller: controller, namespace: namespace.identifier, arena: arena)
        else { continue }
        if let identity = try? Identity(of: device), matches(identity) { return device }
        device.close()
      }
    }
    let others = busy.isEmpty ? "" : " (not looked at: \(busy.joined(separator: "; ")))"
    throw DeviceError(
      "no namespace bound to VFIO holds a varve filesystem with \(text)\(others); see 'varve list'")
  }
}

extension DeviceError {
  init(_ error: FunctionError) { self.init(error.description, isBusy: error.errno == EBUSY) }
}
