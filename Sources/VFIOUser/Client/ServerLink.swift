import PCI

/// The connection to a server, replaced by a new one after it is lost.
final class ServerLink {
  let path: String
  /// The memory that the server may access.
  let memory: ClientMemory
  private(set) var connection: ClientConnection

  init(_ connection: ClientConnection) {
    path = connection.path
    memory = connection.memory
    self.connection = connection
  }

  /// Replaces the connection by another, over the same memory.
  func replace(by other: ClientConnection) {
    connection.close()
    connection = other
  }
}
