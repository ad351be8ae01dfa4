import Control
import Device
import FileProtocol
import Glibc
import MountSession
import NVMe
import PCI

/// A mount command's device and options.
struct MountOrder {
  /// The device's name from the command line.
  let device: String
  /// The arguments of `-o`.
  let words: [String]
  /// The parsed options; with `nodev` and `nosuid` where root mounts a device that other users can write,
  /// unless `dev` and `suid` are given.
  let options: MountOptions
  /// The message about these defaults; nil where they do not apply.
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

  /// The mount point, when the device is mounted at that directory already.
  func served(at directory: String) -> String? {
    guard let name = try? DeviceName(device), let resolved = realpath(directory, nil) else { return nil }
    defer { free(resolved) }
    let path = String(cString: resolved)
    let mounts = Daemons.mounts().map(\.serves)
    return mounts.contains { $0.isCalled(name) && $0.mountPoint == path && $0.state == .mounted } ? path : nil
  }

  /// The arena frames of the filesystem's cache.
  var cacheFrames: Int { Int(options.cacheBytes) / DMAArena.frameSize }

  var controllerOptions: ControllerOptions {
    var controller = ControllerOptions()
    // Each mounted namespace takes a pair; the controller may grant fewer.
    controller.queuePairs = 64
    controller.offlineTimeout = options.deviceTimeoutSeconds * 1_000_000_000
    return controller
  }

  /// The default reserve for root's mounts, as in ext4, in percent.
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
    // With `strictatime` the kernel sends each open to the daemon.
    session.opensInKernel = options.accessTimes != .always
    session.writesBack = options.writesBack
    session.knownInodes = options.knownInodes
    session.writesInParallel = options.writesInParallel
    session.waiting =
      switch options.waits {
      case nil: geteuid() == 0 ? .preferred : .never
      case true?: .required
      case false?: .never
      }
    return session
  }
}
