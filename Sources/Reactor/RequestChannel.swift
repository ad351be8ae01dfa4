/// The result of an attempt to receive.
public enum Receipt: UInt8, Sendable {
  /// The slot's request is filled and waits for `FileService.begin`.
  case request
  /// A message that needs no slot was handled: a forget, an interrupt, the handshake, or one answered at
  /// once.
  case consumed
  /// No message waits.
  case empty
  /// The channel has ended: unmounted, or the connection was aborted.
  case ended
}

/// Where requests come from and replies go: a FUSE mount, or a script in a test. Belongs to the reactor's
/// thread.
public protocol RequestChannel: AnyObject {
  /// Readable when a message waits or the channel has ended. The reactor waits for its edges.
  var descriptor: Int32 { get }

  /// Receives one message, with `slot`'s memory as its buffer. Never blocks. Forgets are passed to the
  /// service at once.
  func receive(into slot: Int) -> Receipt

  /// Sends the reply of `slot`, whose memory is free for another request afterwards.
  func send(slot: Int)
}
