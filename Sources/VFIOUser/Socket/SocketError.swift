import Glibc

/// Why a connection has to end.
public enum SocketError: Error, Equatable, Sendable {
  /// The peer closed the socket between two messages.
  case closed
  /// The peer closed the socket within a message.
  case truncated
  /// A message's size field is smaller than its header, or larger than is allowed.
  case badSize(UInt32)
  /// More descriptors came than are allowed.
  case tooManyDescriptors
  /// The peer took too long to receive a message.
  case notTaken
  /// The peer took too long to send a message that it had begun, or had to begin.
  case notSent
  /// The wait was interrupted.
  case interrupted
  /// A system call failed with this errno.
  case system(Int32)
}

extension SocketError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .closed: "the peer closed the connection"
    case .truncated: "the peer closed the connection in the middle of a message"
    case .badSize(let size): "a message says it has \(size) bytes"
    case .tooManyDescriptors: "a message came with more descriptors than are allowed"
    case .notTaken: "the peer did not take a message in time"
    case .notSent: "the peer did not send a whole message in time"
    case .interrupted: "it was interrupted"
    case .system(let code): String(cString: strerror(code))
    }
  }
}
