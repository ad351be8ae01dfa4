import CMachine
import Glibc

/// A daemon's control socket: receives the requests of tools, a line each, and sends the answers.
///
/// It belongs to an event loop's thread and never blocks. The cost of clients is bounded: few connections, a
/// short line at a time, one answer that has to fit into the socket's buffer; a client that breaks the
/// protocol is disconnected.
public final class ControlServer {
  /// How the server gets called when a descriptor is readable.
  public struct Loop {
    /// Calls `handler` while a descriptor is readable.
    public let watch: (_ descriptor: Int32, _ handler: @escaping () -> Void) -> Void
    /// Stops calling the handler of a descriptor.
    public let unwatch: (_ descriptor: Int32) -> Void

    public init(
      watch: @escaping (_ descriptor: Int32, _ handler: @escaping () -> Void) -> Void,
      unwatch: @escaping (_ descriptor: Int32) -> Void
    ) {
      self.watch = watch
      self.unwatch = unwatch
    }
  }

  /// The most connections at a time. A new one replaces the one without a request for the longest time,
  /// preferably one that does not wait for an answer.
  public static let connectionLimit = 8

  /// The socket's path.
  public let path: String
  /// Called for every request, on the loop's thread.
  public var handler: (ControlRequest, ControlReply) -> Void = { _, _ in }
  /// Called with a client's number when its connection has ended.
  public var whenGone: (UInt64) -> Void = { _ in }

  private let descriptor: Int32
  private let loop: Loop
  /// In the order of their last request, the latest last.
  private var connections: [ControlConnection] = []
  private var lastClient: UInt64 = 0

  /// Makes the socket of this process, which only its user and root can use. A socket left by a former
  /// process with the same id is removed.
  /// - Throws: `ControlError` when it cannot be made.
  public init(in folder: ControlFolder = .own, loop: Loop) throws(ControlError) {
    try folder.prepare()
    self.loop = loop
    path = folder.socket(of: getpid())
    unlink(path)
    descriptor = LocalSocket.make(blocking: false)
    let bound = LocalSocket.withAddress(of: path) { bind(descriptor, $0, $1) }
    guard descriptor >= 0, bound == 0, chmod(path, 0o600) == 0, listen(descriptor, 8) == 0 else {
      let reason = String(cString: strerror(errno))
      throw ControlError("the control socket \(path) cannot be made: \(reason)")
    }
    loop.watch(descriptor) { [unowned self] in accept() }
  }

  deinit {
    for connection in connections { connection.close() }
    guard descriptor >= 0 else { return }
    loop.unwatch(descriptor)
    unlink(path)
    Glibc.close(descriptor)
  }

  private func accept() {
    let accepted = Glibc.accept(descriptor, nil, nil)
    guard accepted >= 0 else { return }
    let user = cm_socket_user(accepted)
    guard cm_set_nonblocking(accepted) == 0, fcntl(accepted, F_SETFD, FD_CLOEXEC) == 0,
      user == 0 || user == Int64(geteuid())
    else {
      Glibc.close(accepted)
      return
    }
    LocalSocket.widen(accepted)
    if connections.count == Self.connectionLimit {
      end(connections.first { !$0.isWaiting } ?? connections[0])
    }
    lastClient += 1
    let connection = ControlConnection(accepted, client: lastClient)
    connections.append(connection)
    loop.watch(accepted) { [unowned self, unowned connection] in receive(from: connection) }
  }

  /// Reads from a connection: one request, or the rest of one.
  private func receive(from connection: ControlConnection) {
    switch connection.receive() {
    case .nothing: return
    case .ended: end(connection)
    case .line(let line, let passed):
      connections.removeAll { $0 === connection }
      connections.append(connection)
      let reply = ControlReply { [weak self, weak connection] answer in
        guard let self, let connection, !connection.answer(answer) else { return }
        end(connection)
      }
      do throws(ControlError) {
        handler(try ControlRequest(line: line, client: connection.client, passed: passed), reply)
      } catch {
        reply.fail(error.description)
      }
    }
  }

  private func end(_ connection: ControlConnection) {
    guard connection.isOpen else { return }
    loop.unwatch(connection.descriptor)
    connection.close()
    connections.removeAll { $0 === connection }
    whenGone(connection.client)
  }
}
