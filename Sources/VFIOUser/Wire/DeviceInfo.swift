/// The payload of `deviceInfo`, 16 bytes, as Linux's `vfio_device_info`.
public struct DeviceInfo: MessagePayload, Equatable, Sendable {
  /// The payload's size in bytes.
  public static let size = 16
  /// The device can be reset.
  public static let canReset: UInt32 = 1
  /// The device is a PCI function.
  public static let isPCI: UInt32 = 2

  public var flags: UInt32
  /// How many regions there are, the last ones perhaps empty.
  public var regions: UInt32
  /// How many kinds of interrupts there are.
  public var interrupts: UInt32

  public init(flags: UInt32 = 0, regions: UInt32 = 0, interrupts: UInt32 = 0) {
    self.flags = flags
    self.regions = regions
    self.interrupts = interrupts
  }

  public init?(decoding bytes: UnsafeRawBufferPointer) {
    var reader = WireReader(bytes)
    guard let argumentSize = reader.uint32(), argumentSize >= Self.size, let flags = reader.uint32(),
      let regions = reader.uint32(), let interrupts = reader.uint32()
    else { return nil }
    self.init(flags: flags, regions: regions, interrupts: interrupts)
  }

  public func encode(to writer: inout WireWriter) {
    writer.append(UInt32(Self.size))
    writer.append(flags)
    writer.append(regions)
    writer.append(interrupts)
  }
}
