/// The payload of `dmaMap`, 32 bytes. The server maps its descriptor, if it has one.
public struct DMAMap: MessagePayload, Equatable, Sendable {
  /// The payload's size in bytes.
  public static let size = 32

  /// The server's access rights: bit 0 to read, bit 1 to write.
  public var access: UInt32
  /// Where the range begins in the descriptor's file, in bytes.
  public var offset: UInt64
  /// Its address for the device.
  public var address: UInt64
  /// Its length in bytes.
  public var length: UInt64

  public init(access: UInt32 = 3, offset: UInt64, address: UInt64, length: UInt64) {
    self.access = access
    self.offset = offset
    self.address = address
    self.length = length
  }

  public init?(decoding bytes: UnsafeRawBufferPointer) {
    var reader = WireReader(bytes)
    guard let argumentSize = reader.uint32(), argumentSize >= Self.size, let access = reader.uint32(),
      let offset = reader.uint64(), let address = reader.uint64(), let length = reader.uint64(),
      reader.rest.isEmpty
    else { return nil }
    self.init(access: access, offset: offset, address: address, length: length)
  }

  public func encode(to writer: inout WireWriter) {
    writer.append(UInt32(Self.size))
    writer.append(access)
    writer.append(offset)
    writer.append(address)
    writer.append(length)
  }
}

/// The payload of `dmaUnmap`, 24 bytes, which the reply repeats.
public struct DMAUnmap: MessagePayload, Equatable, Sendable {
  /// The payload's size in bytes.
  public static let size = 24
  /// Takes back everything that is mapped; address and length are 0 then.
  public static let all: UInt32 = 2

  /// 0, or `all`.
  public var flags: UInt32
  /// Its address for the device.
  public var address: UInt64
  /// Its length in bytes.
  public var length: UInt64

  public init(flags: UInt32 = 0, address: UInt64, length: UInt64) {
    self.flags = flags
    self.address = address
    self.length = length
  }

  public init?(decoding bytes: UnsafeRawBufferPointer) {
    var reader = WireReader(bytes)
    guard let argumentSize = reader.uint32(), argumentSize >= Self.size, let flags = reader.uint32(),
      let address = reader.uint64(), let length = reader.uint64()
    else { return nil }
    self.init(flags: flags, address: address, length: length)
  }

  public func encode(to writer: inout WireWriter) {
    writer.append(UInt32(Self.size))
    writer.append(flags)
    writer.append(address)
    writer.append(length)
  }
}

/// The payload of `dmaRead` and `dmaWrite`: 16 bytes, and the data in a write's request and a read's reply.
public struct DMAAccess: MessagePayload, Equatable, Sendable {
  /// The size without data in bytes.
  public static let size = 16

  /// The device's address of the first byte.
  public var address: UInt64
  /// How many bytes are accessed.
  public var count: UInt64
  /// The bytes themselves, where the message carries them.
  public var data: [UInt8]

  public init(address: UInt64, count: UInt64, data: [UInt8] = []) {
    self.address = address
    self.count = count
    self.data = data
  }

  public init?(decoding bytes: UnsafeRawBufferPointer) {
    var reader = WireReader(bytes)
    guard let address = reader.uint64(), let count = reader.uint64() else { return nil }
    guard reader.rest.isEmpty || UInt64(reader.rest.count) == count else { return nil }
    self.init(address: address, count: count, data: Array(reader.rest))
  }

  public func encode(to writer: inout WireWriter) {
    writer.append(address)
    writer.append(count)
    writer.append(contentsOf: data)
  }
}
