/// The header of every message, 16 bytes: identifier, command, size, flags, error number.
public struct MessageHeader: Equatable, Sendable {
  /// The size in bytes.
  public static let size = 16

  /// Identifies a request among the sender's; its reply has the same.
  public var identifier: UInt16
  /// The command's number (`MessageCommand`), which the reply repeats.
  public var command: UInt16
  /// The size of the whole message in bytes, this header among them.
  public var messageSize: UInt32
  /// The message's type and flags.
  public var flags: Flags
  /// The system's error number, where `flags` has `.error`.
  public var errno: UInt32

  /// The flags of a message; bits 0 to 3 are its type, 0 for a request and 1 for a reply.
  public struct Flags: OptionSet, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// An answer to a request.
    public static let reply = Flags(rawValue: 0x1)
    /// A request that is not to be answered.
    public static let noReply = Flags(rawValue: 0x10)
    /// A reply with an error number instead of a result.
    public static let error = Flags(rawValue: 0x20)

    /// The bits of the type.
    private static let typeMask: UInt32 = 0xf
    /// Whether the message is a reply and nothing else.
    public var isReply: Bool { rawValue & Self.typeMask == Self.reply.rawValue }
    /// Whether the message is a request and nothing else.
    public var isRequest: Bool { rawValue & Self.typeMask == 0 }
  }

  public init(
    identifier: UInt16, command: UInt16, messageSize: UInt32, flags: Flags = [], errno: UInt32 = 0
  ) {
    self.identifier = identifier
    self.command = command
    self.messageSize = messageSize
    self.flags = flags
    self.errno = errno
  }

  /// The header at the beginning of `bytes`; nil when they are too few.
  public init?(decoding bytes: UnsafeRawBufferPointer) {
    var reader = WireReader(bytes)
    guard let identifier = reader.uint16(), let command = reader.uint16(), let messageSize = reader.uint32(),
      let flags = reader.uint32(), let errno = reader.uint32()
    else { return nil }
    self.init(
      identifier: identifier, command: command, messageSize: messageSize, flags: Flags(rawValue: flags),
      errno: errno)
  }

  /// Appends the header's bytes.
  public func encode(to writer: inout WireWriter) {
    writer.append(identifier)
    writer.append(command)
    writer.append(messageSize)
    writer.append(flags.rawValue)
    writer.append(errno)
  }
}
