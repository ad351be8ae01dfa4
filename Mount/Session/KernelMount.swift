import CFuse3
import Glibc

/// The kernel's side of a mount: the mounted directory, and the descriptor of its requests.
///
/// The process that requests the mount makes it, with its rights and in its mount namespace. The descriptor
/// can then be passed to the process that serves.
public final class KernelMount {
  /// The mount point.
  public let point: MountPoint
  /// Why umount(2) and sync(2) do not wait for the daemon although that was requested; nil where they do, or
  /// it was not.
  public let shortcoming: String?
  private var descriptor: Int32

  /// Mounts at a directory checked by `MountPoint.prepare`.
  /// - Throws: `MountError` when the kernel or fusermount3 refuses.
  public init(at point: MountPoint, _ options: SessionOptions) throws(MountError) {
    guard access("/dev/fuse", F_OK) == 0 else {
      throw MountError("the kernel has no FUSE (/dev/fuse is missing)", remedy: "run: modprobe fuse")
    }
    LibraryLog.capture()
    var shortcoming: String?
    if options.waiting == .never {
      descriptor = try Self.mount(at: point, options)
    } else {
      do throws(MountError) {
        descriptor = try Self.mountOverBlockDevice(at: point, options)
      } catch {
        guard options.waiting == .preferred else { throw error }
        shortcoming = error.description
        descriptor = try Self.mount(at: point, options)
      }
    }
    self.shortcoming = shortcoming
    self.point = point.mounted()
    guard descriptor >= 0 else {
      self.point.detach()
      throw MountError("no descriptor for \(point.path)", remedy: "raise the limit of open files (ulimit -n)")
    }
  }

  /// Mounts as type fuseblk, for which the kernel sends sync and unmount to the daemon and waits for the
  /// answers.
  private static func mountOverBlockDevice(
    at point: MountPoint, _ options: SessionOptions
  ) throws(MountError) -> Int32 {
    let device = try SourceDevice(named: options.source)
    var options = options
    options.source = device.path
    options.isBlockDevice = true
    return try mount(at: point, options)
  }

  /// - Returns: the descriptor of the kernel's requests; negative when no descriptor is left.
  private static func mount(at point: MountPoint, _ options: SessionOptions) throws(MountError) -> Int32 {
    // This session is only used for libfuse's mounting code, which includes fusermount3.
    var operations = fuse_lowlevel_ops()
    let session = options.makeSession(&operations, nil)
    defer { if let session { fuse_session_destroy(session) } }
    guard let session, fuse_session_mount(session, point.path) == 0 else {
      throw MountError(
        "cannot mount at \(point.path): \(LibraryLog.take())",
        remedy: geteuid() == 0 ? "" : "become root, or make /dev/fuse and fusermount3 usable")
    }
    return fcntl(fuse_session_fd(session), F_DUPFD_CLOEXEC, 0)
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  /// Takes the descriptor of the kernel's requests, which the caller then owns.
  public func takeDescriptor() -> Int32 {
    defer { descriptor = -1 }
    return descriptor
  }

  /// Whether a descriptor is one of the FUSE device (misc device 229).
  public static func isDescriptor(_ descriptor: Int32) -> Bool {
    var status = stat()
    return fstat(descriptor, &status) == 0 && status.st_mode & S_IFMT == S_IFCHR
      && status.st_rdev == 10 << 8 | 229
  }
}

extension SessionOptions {
  /// Makes a libfuse session from the options; nil when libfuse refuses them.
  func makeSession(
    _ operations: inout fuse_lowlevel_ops, _ userdata: UnsafeMutableRawPointer?
  ) -> OpaquePointer? {
    var arguments: [UnsafeMutablePointer<CChar>?] = [
      strdup("mount.varve"), strdup("-o"), strdup(argument),
    ]
    defer { for argument in arguments { free(argument) } }
    return arguments.withUnsafeMutableBufferPointer { vector in
      var list = fuse_args(argc: Int32(vector.count), argv: vector.baseAddress, allocated: 0)
      return fuse_session_new(&list, &operations, MemoryLayout<fuse_lowlevel_ops>.size, userdata)
    }
  }
}
