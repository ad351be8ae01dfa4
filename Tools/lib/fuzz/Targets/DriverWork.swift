import Block
import BlockProtocol
import NVMe
import NVMeSpec
import PCI

/// What the driver is put through with a controller that may do anything: bring-up, logs, commands, recovery, end.
public struct DriverWork {
  /// What must not have happened; nil when all was well.
  public private(set) var complaint: String?
  /// Whether the controller came up.
  public private(set) var hasOpened = false

  /// Time that moves only when nothing else is to be done.
  private final class Clock {
    var now: UInt64 = 1_000_000_000
  }

  private static let commands = 24
  private static let millisecond: UInt64 = 1_000_000

  /// Works with the controller behind `function`.
  public init(_ function: any PCIFunction) {
    let clock = Clock()
    var options = ControllerOptions()
    options.time = TimeSource(now: { clock.now }, sleep: { clock.now += $0 })
    options.queueEntries = 16
    options.adminTimeout = 20 * Self.millisecond
    options.commandTimeout = 200 * Self.millisecond
    options.abortTimeout = 20 * Self.millisecond
    guard let controller = try? Controller.open(function, options: options) else { return }
    hasOpened = true
    readLogs(controller)
    for namespace in controller.namespaces.prefix(3) {
      _ = (namespace.obstacle, namespace.uuid, namespace.metadataSize)
      if let device = try? NamespaceDevice(
        controller: controller, namespace: namespace.identifier, arenaFrames: 16)
      {
        device.closesController = false
        drive(device, clock)
        device.close()
      }
    }
    controller.close()
    if controller.state != .closed { complaint = "the controller is not closed but \(controller.state)" }
  }

  private func readLogs(_ controller: Controller) {
    _ = try? controller.readErrorLog()
    _ = try? controller.readHealth()
    _ = try? controller.readFirmwareSlots()
    _ = try? controller.readChangedNamespaces()
    _ = try? controller.readCommandEffects()
    _ = try? controller.readSupportedLogPages()
  }

  /// Submits commands of all kinds, and waits until each has ended or the controller is given up.
  private mutating func drive(_ device: NamespaceDevice, _ clock: Clock) {
    let frames = UnsafeMutablePointer<UInt32>.allocate(capacity: 16)
    defer { frames.deallocate() }
    for index in 0..<16 { frames[index] = UInt32(index) }
    let operations: [BlockCommand.Operation] = [.read, .write, .flush, .read, .write, .discard, .writeZeroes]
    for index in 0..<Self.commands {
      let command = BlockCommand(
        operations[index % operations.count], block: UInt64(index), count: UInt32(index % 5 + 1),
        frames: frames,
        tag: UInt64(index))
      if !device.submit(command) { complaint = "a command was not taken" }
    }
    device.ring()
    var ended = 0
    var completions: [BlockCompletion] = []
    for _ in 0..<20_000 where ended < Self.commands {
      device.poll(&completions, limit: 8)
      ended += completions.count
      completions.removeAll(keepingCapacity: true)
      guard device.prepareToSleep() else { continue }
      clock.now = max(clock.now, min(device.nextDeadline, clock.now + 1000 * Self.millisecond))
    }
    if ended != Self.commands {
      complaint = "\(ended) of \(Self.commands) commands ended in state \(device.controller.state)"
    }
  }
}
