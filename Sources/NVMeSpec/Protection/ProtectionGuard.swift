import CMachine

/// The guard of protection information: the CRC-16 of T10 DIF, polynomial 18BB7h, not reflected, from 0
/// (NVM Command Set 1.0, section 5.2.1.3).
public enum ProtectionGuard {
  private static let polynomial: UInt32 = 0x1_8bb7

  /// The remainder of each byte.
  nonisolated(unsafe) private static let table: UnsafePointer<UInt16> = {
    let table = UnsafeMutablePointer<UInt16>.allocate(capacity: 256)
    for byte in 0..<256 {
      (table + byte).initialize(to: UInt16(truncatingIfNeeded: remainder(UInt32(byte), shifted: 16)))
    }
    return UnsafePointer(table)
  }()

  /// `value` times x to the power of `count`, modulo the polynomial.
  private static func remainder(_ value: UInt32, shifted count: Int) -> UInt32 {
    var rest = value
    for _ in 0..<count {
      rest <<= 1
      if rest & 0x1_0000 != 0 { rest ^= polynomial }
    }
    return rest
  }

  /// The CRC of `count` bytes, continued from `crc`.
  public static func crc(_ bytes: UnsafeRawPointer, _ count: Int, from crc: UInt16 = 0) -> UInt16 {
    #if arch(x86_64)
      let folded = count & ~15
      if folded >= 64, crc == 0 {
        let sum = fold(bytes, folded)
        return byBytes(bytes + folded, count - folded, from: sum)
      }
    #endif
    return byBytes(bytes, count, from: crc)
  }

  private static func byBytes(_ bytes: UnsafeRawPointer, _ count: Int, from crc: UInt16) -> UInt16 {
    var crc = crc
    for index in 0..<count {
      let byte = bytes.load(fromByteOffset: index, as: UInt8.self)
      crc = crc &<< 8 ^ table[Int(UInt8(truncatingIfNeeded: crc &>> 8) ^ byte)]
    }
    return crc
  }

  #if arch(x86_64)
    private static let high = UInt64(remainder(1, shifted: 192))
    private static let low = UInt64(remainder(1, shifted: 128))

    /// The CRC of a multiple of 16 bytes: carry-less products reduce them to 16.
    private static func fold(_ bytes: UnsafeRawPointer, _ count: Int) -> UInt16 {
      var rest: (UInt64, UInt64) = (0, 0)
      return withUnsafeMutableBytes(of: &rest) { rest in
        guard let base = rest.baseAddress else { return 0 }
        cm_fold(bytes, count, high, low, base)
        return byBytes(base, 16, from: 0)
      }
    }
  #endif
}
