/// An entry of the namespace identification descriptor list (Base 2.0, section 5.17.2.3).
public struct NamespaceDescriptor: Hashable, Sendable {
  /// NIDT: 1 EUI-64, 2 NGUID, 3 UUID, 4 command set identifier.
  public var type: UInt8
  /// The identifier, NIDL bytes, most significant byte first.
  public var value: [UInt8]

  public static let eui64Type: UInt8 = 1
  public static let nguidType: UInt8 = 2
  public static let uuidType: UInt8 = 3
  public static let commandSetType: UInt8 = 4

  private static let headerSize = 4

  public init(type: UInt8, value: [UInt8]) {
    self.type = type
    self.value = value
  }

  /// Reads a list up to its end; an entry that is empty or reaches beyond the buffer ends it.
  public static func decodeList(_ data: UnsafeRawBufferPointer) -> [NamespaceDescriptor] {
    var list: [NamespaceDescriptor] = []
    var offset = 0
    while offset + headerSize <= data.count {
      let length = Int(data.value(at: offset + 1, as: UInt8.self))
      guard length > 0, offset + headerSize + length <= data.count else { break }
      list.append(
        NamespaceDescriptor(
          type: data.value(at: offset), value: data.bytes(at: offset + headerSize, count: length)))
      offset += headerSize + length
    }
    return list
  }

  /// Writes a list over a zeroed buffer; descriptors that do not fit are left out.
  public static func encodeList(_ list: [NamespaceDescriptor], into data: UnsafeMutableRawBufferPointer) {
    data.clear()
    var offset = 0
    for descriptor in list where descriptor.value.count <= 0xff {
      guard offset + headerSize + descriptor.value.count <= data.count else { return }
      data.put(descriptor.type, at: offset)
      data.put(UInt8(truncatingIfNeeded: descriptor.value.count), at: offset + 1)
      data.put(bytes: descriptor.value, at: offset + headerSize)
      offset += headerSize + descriptor.value.count
    }
  }
}
