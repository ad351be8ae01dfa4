import EmulatedController
import Foundation
import Glibc
import NVMe
import PCI
import VFIOUser
import VFIOUserServer

/// A server of a controller over memory, in a thread of this process.
final class RunningServer: @unchecked Sendable {
  let path: String
  let server: Server
  private let ended = DispatchSemaphore(value: 0)
  private var isStopped = false

  /// Blocks of the namespace.
  static let blocks = 512

  init(
    _ options: ServerOptions = ServerOptions(), at path: String = RunningServer.freshPath(),
    _ configure: (inout EmulatedController.Configuration) -> Void = { _ in }
  ) throws {
    self.path = path
    var configuration = EmulatedController.Configuration(namespaces: [
      .init(.memory(bytes: Self.blocks * 4096))
    ])
    configure(&configuration)
    server = try Server(
      EmulatedController(configuration, name: "test"), socket: path, options: options)
    let thread = Thread { [self] in
      server.run()
      ended.signal()
    }
    thread.start()
  }

  /// Ends the server and waits until it has.
  func stop() {
    guard !isStopped else { return }
    isStopped = true
    server.stop()
    ended.wait()
  }

  deinit { stop() }

  /// The folder of this process's sockets. It is removed when the process ends, with the sockets of servers
  /// that still run.
  private static let folder: String = {
    let folder = "\(NSTemporaryDirectory())varve-sockets-\(getpid())"
    try? FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    atexit {
      try? FileManager.default.removeItem(atPath: "\(NSTemporaryDirectory())varve-sockets-\(getpid())")
    }
    return folder
  }()

  static func freshPath() -> String { "\(folder)/\(UInt32.random(in: 0 ... .max)).sock" }

  /// Options of a server that shares no doorbells.
  static var withoutMapping: ServerOptions {
    var options = ServerOptions()
    options.sharesDoorbells = false
    return options
  }

  /// A raw connection.
  func connect(agrees: Bool = true) throws -> RawPeer {
    let descriptor = SocketAddress.makeSocket()
    guard SocketAddress(path)?.connect(descriptor) == 0 else { throw POSIXError(.ECONNREFUSED) }
    let peer = RawPeer(MessageSocket(owning: descriptor))
    if agrees { _ = try peer.ask(.version, VersionMessage().encoded) }
    return peer
  }
}

/// One end of a connection, message by message.
struct RawPeer {
  let socket: MessageSocket

  init(_ socket: MessageSocket) { self.socket = socket }

  /// The next message; nil when none comes within some seconds.
  func next() throws -> Message? {
    while true {
      if let message = try socket.receive() { return message }
      guard try socket.wait(until: Deadline(in: 10_000_000_000)) else { return nil }
    }
  }

  /// Sends a request and returns what comes back.
  func ask(_ command: MessageCommand, _ payload: [UInt8] = [], descriptors: [Int32] = []) throws -> Message {
    try ask(number: command.rawValue, payload, descriptors: descriptors)
  }

  func ask(number: UInt16, _ payload: [UInt8] = [], descriptors: [Int32] = []) throws -> Message {
    try socket.send(identifier: 77, command: number, payload: payload, descriptors: descriptors)
    guard let message = try next() else { throw POSIXError(.ETIMEDOUT) }
    return message
  }

  /// The error number a request is refused with; 0 when it is not.
  func refusal(_ command: MessageCommand, _ payload: [UInt8] = [], descriptors: [Int32] = []) throws -> Int32
  {
    let reply = try ask(command, payload, descriptors: descriptors)
    return reply.header.flags.contains(.error) ? Int32(reply.header.errno) : 0
  }

  /// Whether the other end closes the connection.
  func isClosed() -> Bool {
    do {
      while try next() != nil {}
      return false
    } catch { return true }
  }
}
