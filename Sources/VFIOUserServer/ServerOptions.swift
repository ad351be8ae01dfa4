/// The options of a server.
public struct ServerOptions: Sendable {
  /// Whether the doorbells are offered for mapping; otherwise each is a message.
  public var sharesDoorbells = true
  /// Whether the server polls the doorbells without ever sleeping while a client has the controller enabled.
  public var spins = false
  /// How long it polls without finding work before it begins to sleep, in nanoseconds.
  public var spinTime: UInt64 = 1_000_000
  /// How long a client may take to send a message, to receive a reply, and to answer a memory access, from
  /// the first byte to the last, and to send its first message after connecting, in nanoseconds.
  public var patience: UInt64 = 5_000_000_000
  /// Who may connect: the permission bits of the socket.
  public var mode: UInt32 = 0o600

  public init() {}
}
