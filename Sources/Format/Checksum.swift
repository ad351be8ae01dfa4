import BlockCRC
import CMachine

/// CRC-32C (Castagnoli), seeded with the filesystem's nonce.
///
/// The seed, a random number drawn by mkfs, makes every block of a former filesystem fail its check, even one
/// with the same contents.
public struct Checksum: Sendable {
  private let seed: UInt32

  /// A checksum for the filesystem with this nonce.
  public init(nonce: Nonce) {
    var bytes = nonce.bytes
    seed = withUnsafeBytes(of: &bytes) { cm_crc32c(.max, $0.baseAddress, $0.count) }
  }

  /// A checksum that depends on nothing but the bytes: the superblock's, which carries the nonce.
  public static let unseeded = Checksum()

  private init() { seed = .max }

  /// The checksum of one block.
  public func of(_ page: Page) -> UInt32 { ~BlockCRC.run(seed, page.base) }

  /// The checksum of any bytes.
  public func of(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
    ~cm_crc32c(seed, bytes.baseAddress, bytes.count)
  }

  /// The checksum of bytes of which the 4 at `offset`, where the checksum itself lies, count as zero.
  public func of(_ bytes: UnsafeRawBufferPointer, except offset: Int) -> UInt32 {
    guard let base = bytes.baseAddress, offset >= 0, offset + 4 <= bytes.count else { return of(bytes) }
    var zero: UInt32 = 0
    var crc = cm_crc32c(seed, base, offset)
    crc = cm_crc32c(crc, &zero, 4)
    return ~cm_crc32c(crc, base + offset + 4, bytes.count - offset - 4)
  }
}

/// 16 random bytes drawn at every mkfs, never set by a user.
public struct Nonce: Sendable, Equatable {
  public var high: UInt64
  public var low: UInt64

  public init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  /// A nonce from the system's random numbers.
  public static func random() -> Nonce {
    Nonce(high: .random(in: .min ... .max), low: .random(in: .min ... .max))
  }

  fileprivate var bytes: (UInt64, UInt64) { (high.littleEndian, low.littleEndian) }

  init(_ page: Page, at offset: Int) {
    self.init(high: page.load(at: offset), low: page.load(at: offset + 8))
  }

  func store(_ page: Page, at offset: Int) {
    page.store(high, at: offset)
    page.store(low, at: offset + 8)
  }
}
