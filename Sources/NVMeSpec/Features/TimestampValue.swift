/// The data of Timestamp, 8 bytes (Base 2.0, section 5.27.1.11).
public struct TimestampValue: Hashable, Sendable {
  /// The size of the structure in bytes.
  public static let size = 8

  /// Milliseconds since 1970, or since the controller was last reset where no host has set them; 48 bits.
  public var milliseconds: UInt64 = 0
  /// TO: whether a host has set it since the last reset.
  public var isSet = false

  public init(milliseconds: UInt64, isSet: Bool = false) {
    self.milliseconds = milliseconds & Self.mask
    self.isSet = isSet
  }

  /// Reads the structure; what a short buffer lacks reads as zero.
  public init(decoding data: UnsafeRawBufferPointer) {
    let value = data.value(at: 0, as: UInt64.self)
    milliseconds = value & Self.mask
    isSet = value >> 49 & 7 == 1
  }

  /// Writes the structure.
  public func encode(into data: UnsafeMutableRawBufferPointer) {
    data.put(milliseconds | (isSet ? 1 << 49 : 0), at: 0)
  }

  private static let mask: UInt64 = 0xffff_ffff_ffff
}
