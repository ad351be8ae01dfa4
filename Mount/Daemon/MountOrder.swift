import Control
import Device
import FileProtocol
import Glibc
import MountSession
import NVMe
import PCI

/// What is to be mounted, and how.
struct MountOrder {
  /// The device, as it was named.
  let device: String
  /// The arguments of `-o`.
  let words: [String]
  /// What they mean; without device files and set-user-ID programs where others than root can write what root
  /// mounts, unless they are asked for.
  let options: MountOptions
  /// What the person is to know about that; nil where it is not so.
  let notice: String?

  /// - Throws: `MountError` naming an option that is unknown or has a value it cannot have.
  init(device: String, words: [String]) throws(MountError) {
    self.device = device
    self.words = words
    var options = try MountOptions(words)
    var notice: String?
    if geteuid() == 0, !options.isRemount, let path = Trust.stranger(behind: device) {
      let flags = options.distrust()
      if !flags.isEmpty {
        notice =
          "\(path) can be written by others than root, so it is mounted with \(flags.joined(separator: ",")); to trust it: -o suid,dev"
      }
    }
    (self.options, self.notice) = (options, notice)
  }

  /// The place, when the device is mounted at a directory already.
  func served(at directory: String) -> String? {
    guard let name = try? DeviceName(device), let resolved = realpath(directory, nil) else { return nil }
    defer { free(resolved) }
    let path = String(cString: resolved)
    let mounts = Daemons.mounts().map(\.serves)
    return mounts.contains { $0.isCalled(name) && $0.mountPoint == path && $0.state == .mounted } ? path : nil
  }

  /// The frames of the arena that are the filesystem's.
  var cacheFrames: Int { Int(options.cacheBytes) / DMAArena.frameSize }

  var controllerOptions: ControllerOptions {
    var controller = ControllerOptions()
    // A namespace takes a pair each; the controller grants what it has.
    controller.queuePairs = 64
    controller.offlineTimeout = options.deviceTimeoutSeconds * 1_000_000_000
    return controller
  }

  /// What is kept for root where root mounts, as ext4 does, in percent.
  private static let usualRootPercent = 5

  var filesystemOptions: Options {
    var filesystem = Options()
    filesystem.readOnly = options.readOnly
    filesystem.accessTimes =
      switch options.accessTimes {
      case .never: .never
      case .relative: .relative
      case .always: .always
      }
    filesystem.commitInterval = options.commitSeconds * 1_000_000_000
    filesystem.discards = options.discards
    filesystem.rootPercent = options.rootPercent ?? (geteuid() == 0 ? Self.usualRootPercent : 0)
    return filesystem
  }

  var sessionOptions: SessionOptions {
    var session = SessionOptions()
    session.source = options.source ?? device
    session.allowOther = options.allowOther ?? (geteuid() == 0)
    session.mountFlags = options.mountFlags
    // Where every reading is to move the access time, the kernel sends each open to the daemon.
    session.opensInKernel = options.accessTimes != .always
    session.waiting =
      switch options.waits {
      case nil: geteuid() == 0 ? .preferred : .never
      case true?: .required
      case false?: .never
      }
    return session
  }
}
