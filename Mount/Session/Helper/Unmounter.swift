import CMachine
import Glibc

/// Unmounts in a thread of its own, because the caller handles signals and a socket meanwhile.
public final class Unmounter: Sendable {
  /// Readable when the mount is out of the mount tree.
  public let descriptor: Int32
  private let point: MountPoint

  /// Begins to unmount. A mount in use is synced and detached: its users get ENOTCONN once the daemon has
  /// ended.
  public init(_ point: MountPoint) {
    self.point = point
    descriptor = cm_eventfd()
    if !DetachedThread.start({ self.run() }) { cm_eventfd_signal(descriptor) }
  }

  deinit { close(descriptor) }

  private func run() {
    Self.unmount(point, detaches: false)
    cm_eventfd_signal(descriptor)
  }

  /// The same, in this thread.
  /// - Parameter detaches: whether to detach it at once, for a mount without a connection.
  static func unmount(_ point: MountPoint, detaches: Bool) {
    for place in point.places where place.isStillMounted {
      if detaches { place.detach() } else { unmount(place) }
    }
  }

  private static func unmount(_ point: MountPoint) {
    let path = point.path
    if umount2(path, Int32(UMOUNT_NOFOLLOW)) == 0 { return }
    if errno == EPERM, fusermount(path, lazily: false) { return }
    sync(path)
    point.detach()
  }

  /// Has the kernel write the dirty data of a mount that stays in use.
  private static func sync(_ path: String) {
    let directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard directory >= 0 else { return }
    cm_syncfs(directory)
    close(directory)
  }
}

/// Unmounts with fusermount3, for a user who may not call umount(2).
/// - Returns: whether it did.
func fusermount(_ path: String, lazily: Bool) -> Bool {
  let words: [String] = ["fusermount3", "-u", "-q"] + (lazily ? ["-z"] : []) + ["--", path]
  let arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
  defer { for argument in arguments { free(argument) } }
  var child = pid_t()
  guard posix_spawnp(&child, "fusermount3", nil, nil, arguments, environ) == 0 else { return false }
  var status: Int32 = 0
  while waitpid(child, &status, 0) < 0 { if errno != EINTR { return false } }
  return status == 0
}
