/// The Commands Supported and Effects log, 4096 bytes (Base 2.0, section 5.16.1.6).
public struct CommandEffectsLog: Hashable, Sendable {
  /// The size of the log in bytes.
  public static let size = 4096

  /// The side effects of a command.
  public struct Effects: OptionSet, Hashable, Sendable {
    public var rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// CSUPP: the command is supported.
    public static let supported = Effects(rawValue: 1 << 0)
    /// LBCC: it may change the contents of logical blocks.
    public static let changesData = Effects(rawValue: 1 << 1)
    /// NCC: it may change a namespace's identify data.
    public static let changesNamespace = Effects(rawValue: 1 << 2)
    /// NIC: it may add or remove namespaces.
    public static let changesInventory = Effects(rawValue: 1 << 3)
    /// CCC: it may change the controller's identify data.
    public static let changesController = Effects(rawValue: 1 << 4)
  }

  /// The admin commands, by opcode; those left out are not supported.
  public var admin: [AdminOpcode: Effects] = [:]
  /// The commands of the I/O command set, by opcode; those left out are not supported.
  public var io: [IOOpcode: Effects] = [:]

  public init() {}

  /// Reads the log; what a short buffer lacks reads as zero.
  public init(decoding data: UnsafeRawBufferPointer) {
    for opcode in UInt8.min...UInt8.max {
      let ofAdmin = Effects(rawValue: data.value(at: 4 * Int(opcode)))
      if ofAdmin.contains(.supported) { admin[AdminOpcode(rawValue: opcode)] = ofAdmin }
      let ofIO = Effects(rawValue: data.value(at: 1024 + 4 * Int(opcode)))
      if ofIO.contains(.supported) { io[IOOpcode(rawValue: opcode)] = ofIO }
    }
  }

  /// Writes the log over a zeroed buffer; what does not fit is left out.
  public func encode(into data: UnsafeMutableRawBufferPointer) {
    data.clear()
    for (opcode, effects) in admin { data.put(effects.rawValue, at: 4 * Int(opcode.rawValue)) }
    for (opcode, effects) in io { data.put(effects.rawValue, at: 1024 + 4 * Int(opcode.rawValue)) }
  }
}
