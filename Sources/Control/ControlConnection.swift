import Glibc

/// A client of a control socket, seen from the daemon.
final class ControlConnection {
  /// What came of an attempt to receive.
  enum Receipt {
    case nothing
    case line(ArraySlice<UInt8>, PassedDescriptor?)
    /// The client has gone, or has broken the rules.
    case ended
  }

  let descriptor: Int32
  let client: UInt64
  private(set) var isOpen = true
  private var buffer: [UInt8] = []
  /// What came with the bytes in the buffer.
  private var passed: PassedDescriptor?
  /// Whether the last request has not been answered yet.
  private(set) var isWaiting = false

  init(_ descriptor: Int32, client: UInt64) {
    self.descriptor = descriptor
    self.client = client
  }

  /// Reads once. A client that asks again before it was answered, or sends a line without end, breaks the
  /// rules.
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
  /// - Returns: false when it does not fit into the socket, or the client has gone.
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
