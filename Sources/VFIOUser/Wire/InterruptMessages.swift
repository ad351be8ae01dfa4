/// The kinds of interrupts of a PCI function, by number.
public enum InterruptKind {
  /// MSI-X.
  public static let msix: UInt32 = 2
  /// How many kinds there are: INTx, MSI, MSI-X, error and request.
  public static let count: UInt32 = 5
}

/// The payload of `interruptInfo`, 16 bytes, as Linux's `vfio_irq_info`.
public struct InterruptInfo: MessagePayload, Equatable, Sendable {
  /// The payload's size in bytes.
  public static let size = 16
  /// The interrupts can signal eventfds.
  public static let eventfd: UInt32 = 1
  /// The interrupts are set up as a set.
  public static let noResize: UInt32 = 8

  public var flags: UInt32
  /// The kind.
  public var index: UInt32
  /// How many there are.
  public var count: UInt32

  public init(flags: UInt32 = 0, index: UInt32, count: UInt32 = 0) {
    self.flags = flags
    self.index = index
    self.count = count
  }

  public init?(decoding bytes: UnsafeRawBufferPointer) {
    var reader = WireReader(bytes)
    guard let argumentSize = reader.uint32(), argumentSize >= Self.size, let flags = reader.uint32(),
      let index = reader.uint32(), let count = reader.uint32()
    else { return nil }
    self.init(flags: flags, index: index, count: count)
  }

  public func encode(to writer: inout WireWriter) {
    writer.append(UInt32(Self.size))
    writer.append(flags)
    writer.append(index)
    writer.append(count)
  }
}

/// The payload of `setInterrupts`, 20 bytes and perhaps data, as Linux's `vfio_irq_set`. Its descriptors are
/// the eventfds.
public struct SetInterrupts: MessagePayload, Equatable, Sendable {
  /// The size without data in bytes.
  public static let size = 20
  /// The flags: the form of the data, and the action.
  public static let noData: UInt32 = 1
  public static let booleans: UInt32 = 2
  public static let eventfds: UInt32 = 4
  public static let trigger: UInt32 = 0x20

  public var flags: UInt32
  /// The kind.
  public var index: UInt32
  /// The first interrupt of the kind.
  public var start: UInt32
  /// How many of them.
  public var count: UInt32
  /// A byte an interrupt, where `flags` has `booleans`.
  public var data: [UInt8]

  public init(flags: UInt32, index: UInt32, start: UInt32, count: UInt32, data: [UInt8] = []) {
    self.flags = flags
    self.index = index
    self.start = start
    self.count = count
    self.data = data
  }

  public init?(decoding bytes: UnsafeRawBufferPointer) {
    var reader = WireReader(bytes)
    guard let argumentSize = reader.uint32(), argumentSize >= Self.size, let flags = reader.uint32(),
      let index = reader.uint32(), let start = reader.uint32(), let count = reader.uint32()
    else { return nil }
    self.init(flags: flags, index: index, start: start, count: count, data: Array(reader.rest))
  }

  public func encode(to writer: inout WireWriter) {
    writer.append(UInt32(Self.size + data.count))
    writer.append(flags)
    writer.append(index)
    writer.append(start)
    writer.append(count)
    writer.append(contentsOf: data)
  }
}
