import ArgumentParser
import Device
import Glibc
import Logging
import MountSession
import ToolSupport

/// `mount.varve DEVICE DIR`: the command for users, mount(8) and fstab(5).
package struct MountCommand: ParsableCommand {
  package static let configuration = CommandConfiguration(
    commandName: "mount.varve",
    abstract: "Mount a Varve filesystem.",
    discussion: """
      DEVICE is one of
        nvme://0000:01:00.0/1              a PCI function through VFIO, namespace 1
        vfio-user:///run/ctl/cntrl?nsid=1  a controller served over a socket
        /path/disk.img                     an image file behind the emulated controller
        UUID=… or LABEL=…                  found among the NVMe functions bound to VFIO

      OPTIONS, separated by commas:
        ro                    change nothing
        noatime, relatime     never, or only when it is old, update the access time (relatime)
        commit=SECONDS        commit unsynced changes within this time (5)
        cache=SIZE            memory for cached blocks (128M)
        known_inodes=NUMBER   how many inodes the kernel may keep (one for 16 KiB of memory)
        reserve=PERCENT       part of the space for files that is reserved for root (5 where root mounts, else 0)
        device_timeout=SECONDS  how long to wait for a device that does not answer (600)
        health=warn|ro        what to do at a critical warning of the device (warn)
        nodiscard             do not deallocate freed space on the device
        allow_other           allow other users (the default for root)
        nofuseblk             let umount and sync return before everything is written
        confine=yes|no        whether the daemon gives up rights it does not need (yes)
        follow=auto|on|off    run on the processor of the program that waits for answers (auto: where that pays)
        writeback             let the kernel keep what is written until a file is closed or synced
        parallel_direct_writes
                              let programs that write to one file with O_DIRECT do so at the same time
        trace                 log each event, as --trace does
        dev, suid, exec, sync, dirsync and their opposites, as for any filesystem; nodev and nosuid are the default
                              where root mounts a device that other users can write

      Returns when the mount is usable. The exit status is 0 then, 1 when the command was not understood and 32 when
      the mount failed, as for mount(8).
      """, version: "mount.varve \(varveVersion)")

  @Argument(help: "What to mount.") var device: String
  @Argument(help: "Where to mount it.") var directory: String
  @Option(name: .short, help: "Options, separated by commas.") var options: [String] = []
  @Flag(name: .customShort("F"), help: "Stay in the foreground, and log to standard error.")
  var foreground = false
  @Flag(name: .customShort("f"), help: "Do everything but the mount, as mount(8)'s --fake.") var isFake =
    false
  @Flag(name: .short, help: "Log what happens once, too; twice: as --trace.") var verbose: Int
  @Flag(help: "Log each event: requests, what they wait for, commands, replies.") var trace = false

  // Options that mount(8) may pass and a FUSE filesystem ignores.
  @Flag(name: .short, help: .hidden) var noTable = false
  @Flag(name: .short, help: .hidden) var sloppy = false
  @Option(name: .short, help: .hidden) var type: String?
  @Option(name: .customShort("N"), help: .hidden) var namespace: String?

  /// mount(8)'s exit statuses.
  private static let usageStatus: Int32 = 1
  private static let failureStatus: Int32 = 32

  package init() {}

  package static func main() {
    OtherRole.runIfMeant()
    let command: any ParsableCommand.Type = UmountCommand.isMeant ? UmountCommand.self : Self.self
    do {
      var call = try command.parseAsRoot()
      try call.run()
    } catch let error as MountError {
      complain(error.description)
      Glibc.exit(failureStatus)
    } catch let code as ExitCode {
      Glibc.exit(code.rawValue)
    } catch {
      guard command.exitCode(for: error).isSuccess else {
        complain("\(command.message(for: error)); see: \(name) --help")
        Glibc.exit(usageStatus)
      }
      command.exit(withError: error)
    }
  }

  package func run() throws {
    let order: MountOrder
    do throws(MountError) {
      order = try MountOrder(device: Self.absolute(device), words: options + (tracesEvents ? ["trace"] : []))
    } catch {
      Self.complain(error.description)
      throw ExitCode(Self.usageStatus)
    }
    if order.options.isRemount { return try Remounting(directory: directory, order: order).run() }
    if let served = order.served(at: directory) {
      return Self.complain("\(device) is mounted at \(served) already")
    }
    let point = try MountPoint.prepare(directory)
    if isFake { return }
    if foreground {
      if let notice = order.notice { Self.complain(notice) }
      LoggingSystem.bootstrap { TerminalLog(label: $0) }
      return try mounting(order, point).run { true }
    }
    switch Background.split() {
    case .parent(nil): if let notice = order.notice { Self.complain(notice) }
    case .parent(let failure?): throw MountError(failure)
    case .child(var parent):
      parent.closeOthers()
      LoggingSystem.bootstrap { _ in SystemLog() }
      Self.serve(mounting(order, point), parent)
    }
  }

  private var tracesEvents: Bool { trace || verbose > 1 }

  private func mounting(_ order: MountOrder, _ point: MountPoint) -> Mounting {
    var log = Logger(label: "mount.varve")
    if verbose > 0 || order.options.traces { log.logLevel = .debug }
    return Mounting(order: order, point: point, stays: foreground, log: log, whenWaiting: Self.complain)
  }

  /// The child's main function; ends the process.
  private static func serve(_ mounting: Mounting, _ parent: Background.Parent) -> Never {
    var isUsable = false
    do {
      try mounting.run {
        isUsable = true
        return parent.report()
      }
      Glibc.exit(0)
    } catch {
      if !isUsable { parent.fail("\(error)") }
      Glibc.exit(failureStatus)
    }
  }

  private static var name: String { UmountCommand.isMeant ? "umount.varve" : "mount.varve" }

  private static func complain(_ text: String) {
    let line = Array("\(name): \(text.printable)\n".utf8)
    _ = write(STDERR_FILENO, line, line.count)
  }
}

extension MountCommand {
  /// The absolute path of an existing file, since the daemon changes its working directory; any other name
  /// unchanged.
  fileprivate static func absolute(_ device: String) -> String {
    guard let resolved = realpath(device, nil) else { return device }
    defer { free(resolved) }
    return String(cString: resolved)
  }
}
