/// What may be chosen about a server.
public struct ServerOptions: Sendable {
  /// Whether the doorbells are offered for mapping; otherwise each is a message.
  public var sharesDoorbells = true
  /// Whether the server looks at the doorbells without ever sleeping while a client has the controller
  /// enabled.
  public var spins = false
  /// How long it looks without finding anything before it begins to sleep, in nanoseconds.
  public var spinTime: UInt64 = 1_000_000
  /// How long a client may take to send a message, to take a reply, and to give or take memory that it is
  /// asked for, from the first byte to the last, and to send its first message from when it has come, in
  /// nanoseconds.
  public var patience: UInt64 = 5_000_000_000
  /// Who may connect: the permission bits of the socket.
  public var mode: UInt32 = 0o600

  public init() {}
}
