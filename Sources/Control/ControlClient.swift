import CMachine
import Glibc
import JSONValue
import PCI

/// A connection to a daemon. Its calls block until the answer.
public final class ControlClient {
  /// The longest answer accepted, in bytes.
  private static let answerLimit = 16 << 20

  /// The daemon's process.
  public let process: Int32
  private let descriptor: Int32

  /// Connects to the daemon with a process id. The socket of a daemon that has died is removed.
  /// - Parameters:
  ///   - user: the required owner of the folder and the daemon; others are not contacted.
  ///   - deadline: by when the connection has to be made.
  /// - Returns: nil where no daemon of that user answers.
  public init?(
    to process: Int32, in folder: ControlFolder, of user: uid_t = geteuid(),
    by deadline: Deadline = Deadline()
  ) {
    guard folder.belongs(to: user) else { return nil }
    self.process = process
    descriptor = LocalSocket.make(blocking: true)
    LocalSocket.limit(descriptor, deadline)
    let path = folder.socket(of: process)
    let isConnected = LocalSocket.withAddress(of: path) { connect(descriptor, $0, $1) } == 0
    guard isConnected, cm_socket_user(descriptor) == Int64(user) else {
      // In another user's folder nothing is removed.
      if !isConnected, errno == ECONNREFUSED, user == geteuid() { unlink(path) }
      return nil
    }
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  /// Sends a request and waits for the answer, at most ten seconds.
  /// - Throws: `ControlError` with the daemon's error, or when it does not answer.
  public func ask(
    _ name: String, _ members: [(name: String, value: JSON)] = [], by deadline: Deadline = Deadline()
  ) throws(ControlError) -> JSON {
    try post(name, members, by: deadline)
    return try answer(by: deadline)
  }

  /// Sends a request without waiting for the answer, which has to be read before the next request.
  /// - Parameter descriptor: a descriptor to pass along; the caller still owns its copy.
  public func post(
    _ name: String, _ members: [(name: String, value: JSON)] = [], passing descriptor: Int32? = nil,
    by deadline: Deadline = Deadline()
  ) throws(ControlError) {
    LocalSocket.limit(self.descriptor, deadline)
    try send(Array((ControlRequest.line(name, members) + "\n").utf8), passing: descriptor)
  }

  /// Waits for the answer, but no longer than until `interruption` is readable.
  /// - Parameter deadline: by when the answer has to begin; nil for no limit.
  /// - Returns: nil when `interruption` was readable; the answer may still come.
  /// - Throws: `ControlError` with the daemon's error, or when it has ended.
  public func answer(until interruption: Int32, by deadline: Deadline? = nil) throws(ControlError) -> JSON? {
    var watched = [descriptor, interruption].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
    while true {
      let count = poll(&watched, nfds_t(watched.count), deadline?.milliseconds ?? -1)
      if count > 0 { break }
      guard count < 0, errno == EINTR else { throw silence }
    }
    return watched[0].revents == 0 ? nil : try answer(by: Deadline())
  }

  private func answer(by deadline: Deadline) throws(ControlError) -> JSON {
    let line = try receive(by: deadline)
    let answer: JSON
    do throws(JSONError) { answer = try JSON(reading: line) } catch {
      throw ControlError("process \(process) does not answer in JSON: \(error)")
    }
    guard answer["varve"]?.integer(Int.self) == ControlRequest.version else {
      throw ControlError(
        "process \(process) speaks another version of the protocol; use the tools it came with")
    }
    if let reason = answer["error"]?.text { throw ControlError(reason) }
    guard let result = answer["result"] else { throw ControlError("process \(process) gives no answer") }
    return result
  }

  private func send(_ bytes: [UInt8], passing passed: Int32?) throws(ControlError) {
    var rest = bytes[...]
    while !rest.isEmpty {
      let isFirst = rest.count == bytes.count
      let sent =
        if let passed, isFirst { LocalSocket.send(rest, passing: passed, to: descriptor) } else {
          LocalSocket.send(rest, to: descriptor)
        }
      if sent < 0, errno == EINTR { continue }
      guard sent > 0 else { throw silence }
      rest = rest.dropFirst(sent)
    }
  }

  /// Receives a line, without its newline, before the deadline.
  private func receive(by deadline: Deadline) throws(ControlError) -> ArraySlice<UInt8> {
    var line: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65536)
    while line.last != UInt8(ascii: "\n") {
      guard deadline.milliseconds > 0 else { throw silence }
      LocalSocket.limit(descriptor, deadline)
      let count = read(descriptor, &chunk, chunk.count)
      if count < 0, errno == EINTR { continue }
      guard count > 0, line.count < Self.answerLimit else { throw silence }
      line += chunk[..<count]
    }
    return line.dropLast()
  }

  private var silence: ControlError {
    ControlError("the daemon, process \(process), does not answer", isSilence: true)
  }
}
