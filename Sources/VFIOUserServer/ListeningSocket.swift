import CMachine
import Glibc
import PCI
import VFIOUser

/// The socket that clients connect to. Its path is removed at the end.
final class ListeningSocket {
  /// How many clients may wait to be accepted.
  static let backlog: Int32 = 8

  let descriptor: Int32
  private let path: String

  /// Makes the socket, replacing one left behind by a server that has ended.
  /// - Throws: `FunctionError` when a server listens there, the path is another kind of file, or the kernel
  ///   refuses.
  init(_ path: String, mode: UInt32) throws(FunctionError) {
    guard let address = SocketAddress(path) else {
      throw FunctionError(
        "\(path) is too long for the path of a socket", remedy: "use one of at most 107 bytes",
        errno: ENAMETOOLONG)
    }
    try Self.removeStale(path, address)
    let descriptor = SocketAddress.makeSocket()
    guard descriptor >= 0 else { throw Self.error(path, errno) }
    guard address.bind(descriptor) == 0 else {
      let code = errno
      close(descriptor)
      throw Self.error(path, code)
    }
    // Clients cannot connect before listen, and the permissions are set before that.
    guard chmod(path, mode) == 0, listen(descriptor, Self.backlog) == 0, cm_set_nonblocking(descriptor) == 0
    else {
      let code = errno
      close(descriptor)
      unlink(path)
      throw Self.error(path, code)
    }
    self.descriptor = descriptor
    self.path = path
  }

  deinit {
    // Unlinked before it is closed: a server started meanwhile finds this one or no socket, so its own socket
    // is not removed here.
    unlink(path)
    close(descriptor)
  }

  /// The next client; nil when none waits.
  /// - Parameters:
  ///   - patience: how long the client may take to send or to receive a message (ns).
  ///   - interruption: a descriptor that ends every wait for the client once it is readable.
  func accept(patience: UInt64, interruption: Int32) -> MessageSocket? {
    let client = Glibc.accept(descriptor, nil, nil)
    guard client >= 0 else { return nil }
    _ = fcntl(client, F_SETFD, FD_CLOEXEC)
    return MessageSocket(
      owning: client, sizeLimit: Session.messageLimit, descriptorLimit: Session.descriptorLimit,
      patience: patience, interruption: interruption)
  }

  /// Removes a socket on which no process listens.
  private static func removeStale(_ path: String, _ address: SocketAddress) throws(FunctionError) {
    var status = stat()
    guard lstat(path, &status) == 0 else { return }
    guard status.st_mode & S_IFMT == S_IFSOCK else {
      throw FunctionError("\(path) exists and is no socket", remedy: "name another path", errno: EEXIST)
    }
    let probe = SocketAddress.makeSocket()
    guard probe >= 0 else { throw error(path, errno) }
    defer { close(probe) }
    cm_set_nonblocking(probe)
    guard address.connect(probe) != 0, errno == ECONNREFUSED else {
      throw FunctionError(
        "a server listens at \(path)", remedy: "end it, or name another path", errno: EADDRINUSE)
    }
    unlink(path)
  }

  private static func error(_ path: String, _ code: Int32) -> FunctionError {
    let reason = String(cString: strerror(code))
    return switch code {
    case ENOENT:
      FunctionError(
        "\(path): its folder does not exist", remedy: "make it: mkdir -p \"$(dirname '\(path)')\"",
        errno: code)
    case EACCES, EPERM:
      FunctionError("\(path): no permission to make a socket there", remedy: "name another path", errno: code)
    default: FunctionError("\(path): the socket cannot be made: \(reason)", errno: code)
    }
  }
}
