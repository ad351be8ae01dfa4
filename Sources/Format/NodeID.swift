/// An inode's id in FUSE and in directories: its number and the generation of that number.
///
/// Bits 0-39 are the number, bits 40-63 the generation. The root directory is number 1, generation 0.
public struct NodeID: Hashable, Sendable {
  public static let numberBits = 40
  public static let maximumNumber: UInt64 = (1 << 40) - 1
  /// A number whose generation has reached this is never allocated again.
  public static let maximumGeneration: UInt32 = (1 << 24) - 1
  public static let root = NodeID(number: 1, generation: 0)
  /// The hidden directory of inodes without a name or with a detached tree.
  public static let orphans = NodeID(number: 2, generation: 0)

  public let raw: UInt64

  @inline(__always)
  public init(raw: UInt64) { self.raw = raw }

  @inline(__always)
  public init(number: UInt64, generation: UInt32) {
    raw = (number & Self.maximumNumber) | UInt64(generation & Self.maximumGeneration) << 40
  }

  @inline(__always) public var number: UInt64 { raw & Self.maximumNumber }
  @inline(__always) public var generation: UInt32 { UInt32(truncatingIfNeeded: raw >> 40) }
}
