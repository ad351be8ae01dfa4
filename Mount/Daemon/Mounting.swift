import Confinement
import Control
import Device
import Glibc
import JSONValue
import Logging
import MountSession
import NVMe
import PCI

/// One run of the command: the mount is served by the daemon that has the controller, or by this process,
/// which becomes the daemon.
struct Mounting {
  let order: MountOrder
  let point: MountPoint
  /// Whether this process stays as long as the mount (`-F`), also when another daemon serves it.
  let stays: Bool
  let log: Logger
  /// Called with a line about what the command waits for.
  let whenWaiting: (String) -> Void

  /// The process that will serve.
  private enum Server {
    case daemon(RemoteMount)
    /// The daemon that serves it already, at another mount point.
    case elsewhere(MountPoint)
    case here(Controller, namespace: UInt32)
  }

  /// Mounts, and then serves and unmounts where this process is the daemon or stays.
  /// - Parameter whenUsable: called once the mount is usable; returns false when the caller has ended.
  /// - Throws: why the mount failed, or that not everything could be written.
  func run(whenUsable: @escaping () -> Bool) throws {
    let signals = SignalDescriptor()
    switch try findServer(signals) {
    case .elsewhere(let other):
      try other.bind(to: point, order.options)
      _ = whenUsable()
    case .daemon(let remote): try remote.serve(at: point, stays: stays, signals, whenUsable)
    case .here(let controller, let namespace):
      let place = ServedDevice(order.device, function: controller.function.name, namespace: namespace)
      // The working directory may be on a filesystem that will be unmounted, or below the daemon's own mount.
      chdir("/")
      let daemon = try Daemon(place, controller, signals, log, logsToTerminal: stays)
      try daemon.run(order, at: point, whenUsable: whenUsable)
    }
  }

  /// The processes in other mount namespaces that keep the device mounted.
  private func holders(of name: DeviceName) -> String {
    guard let served = Daemons.mounts().map(\.serves).first(where: { $0.isCalled(name) }) else { return "" }
    let holders = MountHolders.describe(served.number)
    return holders.isEmpty ? "" : ": it is still mounted for \(holders.joined(separator: ", "))"
  }

  private static let retryInterval: UInt32 = 100_000

  /// Requests the mount from the daemon that has the controller, or opens the controller where there is none.
  /// Waits, for a limited time, for a daemon that is just ending, and for one that is just starting.
  private func findServer(_ signals: SignalDescriptor) throws -> Server {
    let name = try DeviceName(order.device)
    var deadline = Deadline(in: DeviceLocator.patience)
    var waits = false
    while true {
      let obstacle: String
      switch try RemoteMount.ask(for: order, name, signals) {
      case .ready(let mount): return .daemon(mount)
      case .mounted(let other, let options, let process):
        guard options.agrees(with: order.options) else {
          throw MountError(
            "\(order.device) is in use: it is mounted at \(other.path) by process \(process), with other options",
            remedy: "unmount it first with: umount \(other.path)")
        }
        return .elsewhere(other)
      case .comes(let process):
        obstacle = "process \(process) is mounting another namespace of \(order.device)"
        deadline = Deadline(in: DeviceLocator.patience)
        waits = false
      case .leaves(let process): obstacle = "\(order.device) is in use by process \(process)"
      case .none:
        MemoryReclaim.prepare()
        Secrecy.begin()
        do throws(DeviceError) {
          let (controller, namespace) = try DeviceLocator.openController(
            order.device, options: order.controllerOptions, patience: 0)
          return .here(controller, namespace: namespace)
        } catch {
          guard error.isBusy else { throw error }
          obstacle = error.description
        }
      }
      guard deadline.nanoseconds > 0 else { throw MountError(obstacle + holders(of: name)) }
      if !waits { whenWaiting("\(obstacle); waiting for it") }
      waits = true
      usleep(Self.retryInterval)
      if signals.take() != nil { throw MountError("interrupted while waiting") }
    }
  }
}
