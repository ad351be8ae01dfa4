import Glibc

/// The daemon's end of a connection to a client.
final class ControlConnection {
  /// The result of an attempt to receive.
  enum Receipt {
    case nothing
    case line(ArraySlice<UInt8>, PassedDescriptor?)
    /// The client has closed the connection, or has broken the protocol.
    case ended
  }

  let descriptor: Int32
  let client: UInt64
  private(set) var isOpen = true
  private var buffer: [UInt8] = []
  /// The descriptor received with the bytes in the buffer.
  private var passed: PassedDescriptor?
  /// Whether the last request is not answered yet.
  private(set) var isWaiting = false

  init(_ descriptor: Int32, client: UInt64) {
    self.descriptor = descriptor
    self.client = client
  }

  /// Reads once. A client breaks the protocol when it sends another request before the answer, or a line that
  /// is too long.
  func receive() -> Receipt {
    var chunk = [UInt8](repeating: 0, count: ControlRequest.lengthLimit)
    let (count, received) = chunk.withUnsafeMutableBytes { LocalSocket.receive(into: $0, from: descriptor) }
    if let received { passed = PassedDescriptor(received) }
    if count < 0 { return errno == EAGAIN || errno == EINTR ? .nothing : .ended }
    guard count > 0, !isWaiting, buffer.count + count <= ControlRequest.lengthLimit else { return .ended }
    buffer += chunk[..<count]
    guard let end = buffer.firstIndex(of: UInt8(ascii: "\n")) else {
      return buffer.count < ControlRequest.lengthLimit ? .nothing : .ended
    }
    guard end == buffer.count - 1 else { return .ended }
    let line = buffer[..<end]
    buffer = []
    isWaiting = true
    defer { passed = nil }
    return .line(line, passed)
  }

  /// Sends an answer.
  /// - Returns: false when it does not fit into the socket's buffer, or the client has closed the connection.
  func answer(_ line: String) -> Bool {
    guard isOpen else { return true }
    isWaiting = false
    let bytes = Array(line.utf8) + [UInt8(ascii: "\n")]
    return LocalSocket.send(bytes[...], to: descriptor) == bytes.count
  }

  func close() {
    guard isOpen else { return }
    isOpen = false
    Glibc.close(descriptor)
  }
}
