/// The keyed hash of names: SipHash-2-4, truncated to its upper 48 bits, never 0.
public struct DirectoryHash: Sendable {
  public static let ordinalBits: UInt64 = 15
  public static let bits: UInt64 = 48

  private let key: (UInt64, UInt64)

  public init(key: (UInt64, UInt64)) { self.key = key }

  /// The hash of a name.
  public func of(_ name: UnsafeRawBufferPointer) -> UInt64 {
    max(SipHash.hash(name, key: key) >> (64 - Self.bits), 1)
  }

  /// The slot that `hash` takes in an index node at `depth`.
  @inline(__always)
  public static func slot(_ hash: UInt64, depth: Int) -> Int {
    Int((hash >> (bits - 8 * UInt64(depth + 1))) & 0xFF)
  }
}
