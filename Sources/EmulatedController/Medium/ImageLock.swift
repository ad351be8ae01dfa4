import CMachine
import Glibc
import PCI
import SystemFiles

/// Gives one process at a time the use of an image, by a lock on the file (flock(2)).
///
/// A process that may only read the file can take that lock too, and must not lock the owner out with it. So
/// a lock of another process counts only if some process has the file open for writing. The file's owner and
/// root can find that out: the kernel grants a read lease (fcntl(2), F_SETLEASE) only on a file that no
/// process has open for writing. Where it does, the file is used without the lock, which is taken as soon as
/// it is free.
enum ImageLock {
  /// Takes the lock.
  /// - Returns: false when another process has it.
  /// - Throws: `FunctionError` when the filesystem has no locks.
  static func take(_ descriptor: Int32, _ path: String) throws(FunctionError) -> Bool {
    if cm_lock_exclusively(descriptor) == 0 { return true }
    let code = errno
    guard code == EWOULDBLOCK else {
      throw FunctionError("\(path) cannot be locked: \(String(cString: strerror(code)))", errno: code)
    }
    return false
  }

  /// Refuses a file that is open for writing, by this process or another, or may be.
  /// - Throws: `FunctionError` naming the processes that have it open.
  static func requireNoWriter(_ path: String) throws(FunctionError) {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    let hasWriter = descriptor < 0 || fcntl(descriptor, setLease, F_RDLCK) != 0
    if descriptor >= 0 { close(descriptor) }
    guard hasWriter else { return }
    let resolved = realpath(path, nil)
    defer { free(resolved) }
    let holders = resolved.map { OpenFiles.holders(of: String(cString: $0)) } ?? []
    let who = holders.isEmpty ? "another process" : holders.map(\.description).joined(separator: ", ")
    throw FunctionError("\(path) is in use by \(who)", remedy: "unmount it", errno: EBUSY)
  }

  private static let setLease: Int32 = 1024

  /// Waits in a thread until the lock is free, and takes it.
  static func takeLater(_ descriptor: Int32) {
    var thread = pthread_t()
    let argument = UnsafeMutableRawPointer(bitPattern: Int(descriptor) + 1)
    let wait: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { argument in
      cm_drop_capabilities()
      _ = flock(Int32(Int(bitPattern: argument) - 1), LOCK_EX)
      return nil
    }
    if pthread_create(&thread, nil, wait, argument) == 0 { pthread_detach(thread) }
  }
}
