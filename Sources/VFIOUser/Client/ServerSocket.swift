import CMachine
import Glibc
import PCI

/// Reaching a server: connecting to its socket and agreeing on a version.
enum ServerSocket {
  /// How long a server may take to answer the first message (ns). One that serves another client may not
  /// answer.
  static let patience: UInt64 = 5_000_000_000

  /// Connects to the socket at `path`.
  /// - Parameter patience: how long the server may take to send or to receive a message (ns).
  static func connect(_ path: String, patience: UInt64) throws(FunctionError) -> MessageSocket {
    guard let address = SocketAddress(path) else {
      throw FunctionError(
        "\(path) is too long for the path of a socket", remedy: "use one of at most 107 bytes",
        errno: ENAMETOOLONG)
    }
    let descriptor = SocketAddress.makeSocket()
    guard descriptor >= 0 else {
      throw FunctionError("no socket can be made", remedy: "raise the limit: ulimit -n", errno: errno)
    }
    guard address.connect(descriptor) == 0 else {
      let code = errno
      close(descriptor)
      throw error(path, code)
    }
    return MessageSocket(owning: descriptor, patience: patience)
  }

  private static func error(_ path: String, _ code: Int32) -> FunctionError {
    let start = "start one, as with: varve serve IMAGE --socket \(path)"
    return switch code {
    case ENOENT: FunctionError("\(path): there is no such socket", remedy: start, errno: code)
    case ECONNREFUSED: FunctionError("\(path): no vfio-user server listens", remedy: start, errno: code)
    case ENOTSOCK, EPROTOTYPE:
      FunctionError("\(path) is no stream socket", remedy: "name a vfio-user server's socket", errno: code)
    case EACCES, EPERM:
      FunctionError(
        "\(path) may not be used by this user", remedy: "chown \"$USER\" \(path)", errno: code)
    case EAGAIN:
      FunctionError(
        "\(path): the server takes no more clients", remedy: "unmount what it serves", errno: EBUSY)
    default:
      FunctionError("\(path) cannot be connected to: \(String(cString: strerror(code)))", errno: code)
    }
  }

  /// Sends the version and receives the server's.
  /// - Parameter patience: how long all of that may take (ns).
  static func negotiate(
    _ socket: MessageSocket, _ path: String, patience: UInt64
  ) throws(FunctionError) -> VersionMessage.Capabilities {
    let answer: Message?
    let deadline = Deadline(in: patience)
    do throws(SocketError) {
      let ours = VersionMessage(capabilities: .init(maximumDescriptors: socket.descriptorLimit))
      try socket.send(
        identifier: 0, command: MessageCommand.version.rawValue, payload: ours.encoded, by: deadline)
      answer = try next(socket, deadline)
    } catch {
      throw FunctionError(
        "\(path): the server left during the negotiation: \(error)",
        remedy: "it may be serving another client: unmount that", errno: EBUSY)
    }
    guard let answer else {
      throw FunctionError(
        "\(path): the server does not answer; it may be serving another client",
        remedy: "unmount what it serves, or start another", errno: EBUSY)
    }
    return try agree(answer, path)
  }

  /// The next message; nil when none comes in time.
  private static func next(_ socket: MessageSocket, _ deadline: Deadline) throws(SocketError) -> Message? {
    while true {
      if let message = try socket.receive() { return message }
      guard try socket.wait(until: deadline) else { return nil }
    }
  }

  private static func agree(
    _ message: Message, _ path: String
  ) throws(FunctionError) -> VersionMessage.Capabilities {
    if message.header.flags.contains(.error) {
      let code = Int32(truncatingIfNeeded: message.header.errno)
      if code == EBUSY {
        throw FunctionError(
          "\(path): the server serves another client", remedy: "unmount that", errno: EBUSY)
      }
      throw FunctionError(
        "\(path): the server refused the connection: \(String(cString: strerror(code)))",
        remedy: "use a server of vfio-user \(VersionMessage.major).\(VersionMessage.minor)", errno: code)
    }
    guard message.header.command == MessageCommand.version.rawValue, message.header.flags.isReply,
      let theirs = VersionMessage(decoding: message.payload), theirs.major == VersionMessage.major,
      theirs.minor <= VersionMessage.minor
    else {
      throw FunctionError(
        "\(path): what listens does not speak vfio-user \(VersionMessage.major).\(VersionMessage.minor)",
        remedy: "name a vfio-user server's socket", errno: EPROTO)
    }
    return theirs.capabilities
  }
}
