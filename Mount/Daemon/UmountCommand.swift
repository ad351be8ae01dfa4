import ArgumentParser
import Control
import Device
import Glibc
import MountSession
import PCI
import ToolSupport

/// `umount.fuse.varve`, which umount(8) calls: it returns when the daemon has written everything, also for
/// mounts where umount(2) does not wait for that.
struct UmountCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "umount.varve", abstract: "Unmount a Varve filesystem, and wait until all of it is written.",
    version: "umount.varve \(varveVersion)")

  @Argument(help: "Where it is mounted.") var directory: String
  @Flag(name: .customShort("f"), help: "Unmount though the daemon does not answer.") var isForced = false
  @Flag(name: .customShort("l"), help: "Detach it now, though processes use it.") var isLazy = false
  @Flag(name: .customShort("r"), help: "Mount it read-only when it cannot be unmounted.") var remounts = false
  @Flag(name: .customShort("v"), help: .hidden) var isVerbose = false
  @Flag(name: .customShort("n"), help: .hidden) var noTable = false
  @Option(name: .customShort("N"), help: .hidden) var namespace: String?
  @Option(name: .customShort("t"), help: .hidden) var type: String?

  /// How long root waits until another user's daemon has written everything (ns), as it may never answer.
  private static let patienceWithOthers: UInt64 = 300_000_000_000

  /// Whether the process was started under this command's name.
  static var isMeant: Bool {
    CommandLine.arguments.first.map { $0.split(separator: "/").last?.hasPrefix("umount.") ?? false } ?? false
  }

  func run() throws {
    let signals = SignalDescriptor()
    let point = try MountPoint.existing(directory)
    let owner = point.owner ?? geteuid()
    let daemon = Daemons.mounts(of: owner).first { $0.serves.mountPoint == point.path }
    // A daemon that does not answer is ignored, as the kernel unmounts all the same.
    let waits = !isLazy && !isForced
    if let daemon, waits { try? daemon.client.post("await", [("nsid", .integer(daemon.serves.namespace))]) }
    do throws(MountError) {
      try point.unmount(lazily: isLazy, forcibly: isForced)
    } catch {
      guard remounts else { throw error }
      return try point.becomeReadOnly()
    }
    guard let daemon, waits, point.places.isEmpty else { return }
    let holders = point.device.map(MountHolders.describe) ?? []
    guard holders.isEmpty else {
      throw MountError(
        "\(point.path) is unmounted here, but still mounted for \(holders.joined(separator: ", "))")
    }
    let deadline = owner == geteuid() ? nil : Deadline(in: Self.patienceWithOthers)
    do throws(ControlError) { _ = try daemon.client.answer(until: signals.descriptor, by: deadline) } catch {
      guard error.isSilence else { throw MountError(error.description) }
    }
  }
}
