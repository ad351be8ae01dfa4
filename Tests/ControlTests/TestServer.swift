import CMachine
import Foundation
import JSONValue

@testable import Control

/// A control server in a temporary folder, with a thread that calls it as an event loop would.
final class TestServer: @unchecked Sendable {
  let folder = ControlFolder(
    path: FileManager.default.temporaryDirectory.path(percentEncoded: false)
      + "/varve-control-\(UUID().uuidString.prefix(8))")
  private let lock = NSLock()
  private var handlers: [Int32: () -> Void] = [:]
  private var server: ControlServer?
  private var isStopped = false
  private let ended = DispatchSemaphore(value: 0)
  /// The clients that have disconnected.
  private var gone: [UInt64] = []

  init(_ answer: @escaping @Sendable (ControlRequest, ControlReply) -> Void) throws {
    let loop = ControlServer.Loop(
      watch: { [unowned self] in handlers[$0] = $1 }, unwatch: { [unowned self] in handlers[$0] = nil })
    let server = try ControlServer(in: folder, loop: loop)
    server.handler = answer
    server.whenGone = { [unowned self] client in lock.withLock { gone.append(client) } }
    self.server = server
    Thread { [self] in run() }.start()
  }

  private func run() {
    while !lock.withLock({ isStopped }) {
      var watched = handlers.keys.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
      poll(&watched, nfds_t(watched.count), 5)
      for descriptor in watched where descriptor.revents != 0 { handlers[descriptor.fd]?() }
    }
    server = nil
    ended.signal()
  }

  /// Ends the server and its thread, and removes the folder.
  func stop() {
    lock.withLock { isStopped = true }
    ended.wait()
    try? FileManager.default.removeItem(atPath: folder.path)
  }

  func client() throws -> ControlClient {
    guard let client = ControlClient(to: getpid(), in: folder) else { throw CocoaError(.fileReadUnknown) }
    return client
  }

  /// A connection that may send anything.
  func connection() throws -> Int32 {
    let descriptor = LocalSocket.make(blocking: true)
    guard LocalSocket.withAddress(of: folder.socket(of: getpid()), { connect(descriptor, $0, $1) }) == 0
    else {
      throw CocoaError(.fileReadUnknown)
    }
    return descriptor
  }

  var clientsGone: Int { lock.withLock { gone.count } }
}

/// Sends bytes and reads until the server disconnects or has sent a line.
func exchange(_ descriptor: Int32, _ bytes: [UInt8]) -> String {
  _ = send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
  var answer: [UInt8] = []
  var chunk = [UInt8](repeating: 0, count: 4096)
  while answer.last != UInt8(ascii: "\n") {
    let count = read(descriptor, &chunk, chunk.count)
    if count <= 0 { break }
    answer += chunk[..<count]
  }
  return String(decoding: answer, as: UTF8.self)
}
