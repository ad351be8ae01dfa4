import CMachine
import Glibc
import SystemFiles

/// The block device that is the source of a mount of type fuseblk: a loop device over a sparse file, which is
/// never read or written. The kernel detaches it when its last user, the mount, is gone.
///
/// The mount's source is a link to it. Link and file are named for the filesystem's device: mount(8) shows a
/// loop device as its file, other programs show the source as it was given. Both stay until the next mount of
/// any device.
struct SourceDevice: ~Copyable {
  /// The link's path; the device's path where no link could be made.
  let path: String
  private let loop: Int32

  /// Bytes of the file behind it.
  private static let size = 1 << 20
  /// How many loop devices are tried, as another process may take a free one first.
  private static let attempts = 64

  // loop(4): numbers that Swift cannot import.
  private static let getFree: UInt = 0x4C82
  private static let configure: UInt = 0x4C0A
  private static let autoclear: UInt32 = 4

  /// - Parameters:
  ///   - name: the filesystem's device, or the name that replaces it (`fsname`).
  ///   - folder: the folder of the link.
  /// - Throws: `MountError` where there are no loop devices.
  init(named name: String, in folder: String = "/run/varve") throws(MountError) {
    Self.removeLeft(in: folder)
    let file = try Self.makeFile(named: name, in: folder)
    defer { close(file) }
    let control = open("/dev/loop-control", O_RDWR | O_CLOEXEC)
    guard control >= 0 else { throw Self.failure("/dev/loop-control") }
    defer { close(control) }
    let (path, loop) = try Self.attach(file, control)
    self.loop = loop
    self.path = Self.link(to: path, named: name, in: folder) ?? path
  }

  deinit { close(loop) }

  /// A new file, replacing an older one, which another mount may still use.
  private static func makeFile(named name: String, in folder: String) throws(MountError) -> Int32 {
    let source = "\(folder)/source"
    for folder in [folder, source] { mkdir(folder, 0o700) }
    let path = "\(source)/\(fileName(name))"
    unlink(path)
    let file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard file >= 0 else { throw failure(path) }
    guard ftruncate(file, off_t(size)) == 0 else {
      let code = errno
      close(file)
      throw failure(path, code)
    }
    return file
  }

  /// How many names a mount checks to remove leftovers of former mounts.
  private static let namesAtATime = 1024

  /// Removes leftovers of former mounts: links to loop devices that have another file by now, or none, and
  /// their files.
  private static func removeLeft(in folder: String) {
    let system = SystemTree()
    for name in system.names(in: "\(folder)/source").prefix(namesAtATime) {
      let (link, file) = ("\(folder)/\(name)", "\(folder)/source/\(name)")
      // A file without a link belongs to a mount that is just being made.
      guard let device = system.target(of: link), device.hasPrefix("/dev/loop") else { continue }
      let backing = system.text(of: "\(system.sys)/block/\(device.dropFirst(5))/loop/backing_file")
      guard backing != file else { continue }
      unlink(link)
      unlink(file)
    }
  }

  private static func attach(_ file: Int32, _ control: Int32) throws(MountError) -> (String, Int32) {
    for _ in 0..<attempts {
      let number = cm_ioctl(control, getFree, nil)
      guard number >= 0 else { throw failure("a free loop device") }
      let path = "/dev/loop\(number)"
      let loop = open(path, O_RDWR | O_CLOEXEC)
      guard loop >= 0 else { throw failure(path) }
      // struct loop_config: fd, block_size, struct loop_info64 (lo_flags at 52 in it), reserved.
      var configuration = [UInt32](repeating: 0, count: 304 / 4)
      configuration[0] = UInt32(bitPattern: file)
      configuration[2 + 52 / 4] = autoclear
      let status = configuration.withUnsafeMutableBytes { cm_ioctl(loop, configure, $0.baseAddress) }
      if status == 0 { return (path, loop) }
      let code = errno
      close(loop)
      // Another process has taken it meanwhile.
      guard code == EBUSY else { throw failure(path, code) }
    }
    throw failure("a free loop device")
  }

  private static func failure(_ what: String, _ code: Int32 = errno) -> MountError {
    MountError("no block device to mount with: \(what): \(String(cString: strerror(code)))")
  }

  /// Makes a link to a device, replacing an older one.
  private static func link(to device: String, named name: String, in folder: String) -> String? {
    let path = "\(folder)/\(fileName(name))"
    let fresh = "\(path).\(getpid())"
    unlink(fresh)
    guard symlink(device, fresh) == 0, rename(fresh, path) == 0 else { return nil }
    return path
  }

  /// A file name derived from a device's name: `/srv/disk.img` becomes `srv-disk.img`.
  static func fileName(_ device: String) -> String {
    let kept = device.split { !($0.isASCII && ($0.isLetter || $0.isNumber || "._:=+@".contains($0))) }
    let name = kept.joined(separator: "-")
    // A name has 255 bytes at most, of which some are kept for the link's temporary name.
    return name.isEmpty || name.hasPrefix(".") ? "device-\(name.suffix(200))" : String(name.suffix(200))
  }
}
