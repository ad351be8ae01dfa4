import CMachine
import Glibc

/// The process that listens at the other end of a socket.
///
/// It keeps the shared memory until it ends. Only then, or when the same process has accepted a new
/// connection, which ends the former, may a server get that memory again. Where another process made the
/// socket listen (process 1 with socket activation, or a process that has ended since), the server is not
/// known and cannot be watched.
struct ServerProcess: ~Copyable {
  /// The process identifier; 0 where it is in a namespace that this process does not see.
  let identifier: pid_t
  /// Readable once the process has ended; negative where it cannot be watched.
  private let descriptor: Int32

  /// The process behind a connected socket.
  init(behind socket: borrowing MessageSocket) {
    identifier = cm_peer_process(socket.descriptor)
    let watched = identifier > 1 ? cm_pidfd_open(identifier) : -1
    let hasEnded = Self.isReadable(watched)
    if hasEnded { close(watched) }
    descriptor = hasEnded ? -1 : watched
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  /// Whether the end of the process can be detected.
  var canBeWatched: Bool { descriptor >= 0 }

  /// Whether the process is known to have ended.
  var hasEnded: Bool { Self.isReadable(descriptor) }

  private static func isReadable(_ descriptor: Int32) -> Bool {
    var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    return descriptor >= 0 && poll(&entry, 1, 0) > 0
  }

  /// Whether this process no longer uses the shared memory once `other` serves.
  func isReplaced(by other: borrowing ServerProcess) -> Bool { hasEnded || identifier == other.identifier }
}
