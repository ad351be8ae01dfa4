/// The regions of a PCI function, by number.
public enum Region {
  /// BAR 0; the others follow, up to 5.
  public static let bar0: UInt32 = 0
  /// Configuration space.
  public static let configuration: UInt32 = 7
  /// How many regions a PCI function has, ROM and VGA among them.
  public static let count: UInt32 = 9
}

/// The payload of `regionInfo`, as Linux's `vfio_region_info` with its capability for mapping in parts.
public struct RegionInfo: MessagePayload, Equatable, Sendable {
  /// The size without capabilities in bytes.
  public static let size = 32
  /// The flags of a region.
  public static let readable: UInt32 = 1
  public static let writable: UInt32 = 2
  public static let mappable: UInt32 = 4
  private static let hasCapabilities: UInt32 = 8
  /// The capability that lists the parts which can be mapped, version 1.
  private static let sparseCapability: UInt16 = 1
  /// A longer list of areas is rejected.
  private static let areaLimit = 64

  /// A part of a region that can be mapped, in bytes from the region's beginning.
  public struct Area: Equatable, Sendable {
    public var offset: UInt64
    public var length: UInt64

    public init(offset: UInt64, length: UInt64) {
      self.offset = offset
      self.length = length
    }
  }

  /// The largest reply that the client accepts in bytes (argsz); in a reply, the size it needs.
  public var argumentSize: UInt32
  public var flags: UInt32
  public var index: UInt32
  /// The region's size in bytes.
  public var length: UInt64
  /// Where the region begins in the descriptor that the reply carries.
  public var offset: UInt64
  /// The parts that can be mapped; empty with `mappable` set when all of it can.
  public var areas: [Area]

  public init(
    argumentSize: UInt32 = 4096, flags: UInt32 = 0, index: UInt32, length: UInt64 = 0, offset: UInt64 = 0,
    areas: [Area] = []
  ) {
    self.argumentSize = argumentSize
    self.flags = flags & ~Self.hasCapabilities
    self.index = index
    self.length = length
    self.offset = offset
    self.areas = areas
  }

  public init?(decoding bytes: UnsafeRawBufferPointer) {
    var reader = WireReader(bytes)
    guard let argumentSize = reader.uint32(), argumentSize >= Self.size, let flags = reader.uint32(),
      let index = reader.uint32(), let capability = reader.uint32(), let length = reader.uint64(),
      let offset = reader.uint64()
    else { return nil }
    var areas: [Area] = []
    if flags & Self.hasCapabilities != 0 {
      guard let found = Self.areas(in: bytes, first: capability) else { return nil }
      areas = found
    }
    self.init(
      argumentSize: argumentSize, flags: flags, index: index, length: length, offset: offset, areas: areas)
  }

  /// The areas of the sparse capability in the chain that begins at `first`; nil when the chain is broken.
  private static func areas(in bytes: UnsafeRawBufferPointer, first: UInt32) -> [Area]? {
    var next = Int(first)
    // A chain longer than its bytes has a loop.
    var left = bytes.count / 8
    while next != 0 {
      guard next <= bytes.count, left > 0 else { return nil }
      left -= 1
      var reader = WireReader(UnsafeRawBufferPointer(rebasing: bytes[next...]))
      guard let identifier = reader.uint16(), reader.uint16() != nil, let following = reader.uint32() else {
        return nil
      }
      next = Int(following)
      guard identifier == sparseCapability else { continue }
      guard let count = reader.uint32(), count <= areaLimit, reader.uint32() != nil else { return nil }
      var areas: [Area] = []
      for _ in 0..<count {
        guard let offset = reader.uint64(), let length = reader.uint64() else { return nil }
        areas.append(Area(offset: offset, length: length))
      }
      return areas
    }
    return []
  }

  /// The size of the payload with its capabilities in bytes.
  public var fullSize: Int { areas.isEmpty ? Self.size : Self.size + 16 + areas.count * 16 }

  public func encode(to writer: inout WireWriter) {
    writer.append(argumentSize)
    writer.append(flags | (areas.isEmpty ? 0 : Self.hasCapabilities))
    writer.append(index)
    writer.append(areas.isEmpty ? 0 : UInt32(Self.size))
    writer.append(length)
    writer.append(offset)
    guard !areas.isEmpty else { return }
    writer.append(Self.sparseCapability)
    writer.append(UInt16(1))
    writer.append(UInt32(0))
    writer.append(UInt32(areas.count))
    writer.append(UInt32(0))
    for area in areas {
      writer.append(area.offset)
      writer.append(area.length)
    }
  }
}

/// The payload of `regionRead` and `regionWrite`: 16 bytes, and the data in a write's request and a read's
/// reply.
public struct RegionAccessMessage: MessagePayload, Equatable, Sendable {
  /// The size without data in bytes.
  public static let size = 16

  /// The first byte, from the region's beginning.
  public var offset: UInt64
  public var region: UInt32
  /// How many bytes are accessed.
  public var count: UInt32
  /// The bytes themselves, where the message carries them.
  public var data: [UInt8]

  public init(offset: UInt64, region: UInt32, count: UInt32, data: [UInt8] = []) {
    self.offset = offset
    self.region = region
    self.count = count
    self.data = data
  }

  public init?(decoding bytes: UnsafeRawBufferPointer) {
    var reader = WireReader(bytes)
    guard let offset = reader.uint64(), let region = reader.uint32(), let count = reader.uint32() else {
      return nil
    }
    guard reader.rest.isEmpty || reader.rest.count == Int(count) else { return nil }
    self.init(offset: offset, region: region, count: count, data: Array(reader.rest))
  }

  public func encode(to writer: inout WireWriter) {
    writer.append(offset)
    writer.append(region)
    writer.append(count)
    writer.append(contentsOf: data)
  }
}
