/// The data of Host Behavior Support, 512 bytes (Base 2.0, section 5.27.1.18).
public struct HostBehavior: Hashable, Sendable {
  /// The size of the structure in bytes.
  public static let size = 512

  /// ACRE: the host supports CRD; only then a controller returns retry delays.
  public var advancedRetry = false

  public init(advancedRetry: Bool = false) { self.advancedRetry = advancedRetry }

  /// Reads the structure; what a short buffer lacks reads as zero.
  public init(decoding data: UnsafeRawBufferPointer) {
    advancedRetry = data.value(at: 0, as: UInt8.self) == 1
  }

  /// Writes the structure over a zeroed buffer.
  public func encode(into data: UnsafeMutableRawBufferPointer) {
    data.clear()
    data.put(advancedRetry ? UInt8(1) : 0, at: 0)
  }
}
