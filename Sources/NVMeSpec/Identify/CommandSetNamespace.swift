/// Identify Namespace for the NVM command set, CNS 05h (NVM Command Set 1.0, section 4.1.5.4): how each
/// format's protection information is laid out.
public struct CommandSetNamespace: Hashable, Sendable {
  /// ELBAF0...: the extended formats.
  public let extendedFormats: [UInt32]

  private static let formatTable = 12
  private static let formatLimit = 64

  /// Reads the structure; what a short buffer lacks reads as zero.
  public init(decoding data: UnsafeRawBufferPointer) {
    extendedFormats = (0..<Self.formatLimit).map { data.value(at: Self.formatTable + 4 * $0) }
  }

  /// PIF: bits of the guard of format `index`; 16 where the structure does not describe it.
  public func guardBits(ofFormat index: Int) -> Int {
    guard extendedFormats.indices.contains(index) else { return 16 }
    switch extendedFormats[index].field(7, 2) {
    case 1: return 32
    case 2: return 64
    default: return 16
    }
  }
}
