/// An SGL descriptor, 16 bytes (Base 2.0, section 4.1.2).
public struct SGLDescriptor: BitwiseCopyable, Hashable, Sendable {
  /// The address it points to.
  public var address: UInt64
  /// Length in the low 32 bits, the identifier in the top 8.
  public var word: UInt64

  /// The size of a descriptor in bytes.
  public static let size = 16

  @inlinable
  public init(address: UInt64, word: UInt64) {
    self.address = address
    self.word = word
  }

  @inlinable
  public init(type: SGLDescriptorType, subtype: UInt8 = 0, address: UInt64, length: UInt32) {
    self.address = address
    word = UInt64(length) | UInt64(type.rawValue & 0xf) << 60 | UInt64(subtype & 0xf) << 56
  }

  /// A descriptor of `length` contiguous bytes of data.
  @inlinable
  public static func dataBlock(_ address: UInt64, _ length: UInt32) -> SGLDescriptor {
    SGLDescriptor(type: .dataBlock, address: address, length: length)
  }

  /// The length in bytes.
  @inlinable
  public var length: UInt32 { UInt32(truncatingIfNeeded: word) }
  /// The type of the descriptor.
  @inlinable
  public var type: SGLDescriptorType { SGLDescriptorType(rawValue: UInt8(truncatingIfNeeded: word &>> 60)) }
  /// The subtype: 0 where `address` is an address.
  @inlinable
  public var subtype: UInt8 { UInt8(truncatingIfNeeded: word.field(56, 4)) }
}

/// The type of an SGL descriptor.
public struct SGLDescriptorType: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt8
  @inlinable
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// Data.
  public static let dataBlock = SGLDescriptorType(rawValue: 0)
  /// Bytes of a read that are discarded (bit bucket).
  public static let bitBucket = SGLDescriptorType(rawValue: 1)
  /// More descriptors, with another segment after them.
  public static let segment = SGLDescriptorType(rawValue: 2)
  /// The last descriptors.
  public static let lastSegment = SGLDescriptorType(rawValue: 3)
}
