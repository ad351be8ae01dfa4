import PCI

/// The connection to a server: the present one, after one that was lost the next.
final class ServerLink {
  let path: String
  /// The memory that the server may ask for.
  let memory: ClientMemory
  private(set) var connection: ClientConnection

  init(_ connection: ClientConnection) {
    path = connection.path
    memory = connection.memory
    self.connection = connection
  }

  /// Goes on with another connection, over the same memory.
  func replace(by other: ClientConnection) {
    connection.close()
    connection = other
  }
}
