import CMachine

/// CRC-32C (Castagnoli) of a 4 KiB block, by the fastest method of the processor.
public enum BlockCRC {
  /// The size of a block in bytes.
  static let blockSize = 4096

  /// The CRC of the 4096 bytes at `block`, continued from `crc`, without the final inversion.
  public static func run(_ crc: UInt32, _ block: UnsafeMutableRawPointer) -> UInt32 {
    #if arch(x86_64)
      if WideChecksum.isPossible { return WideChecksum.run(crc, block) }
    #endif
    return ThreefoldChecksum.run(crc, block)
  }
}

#if arch(x86_64)
  /// By carry-less products of 512 bits, for processors that have them: twice as fast as the CRC instruction.
  ///
  /// The bytes are the coefficients of a polynomial, and the CRC its remainder. 64 bytes can be removed when
  /// they are multiplied by x to the power of their distance in bits to a later 64 bytes, modulo the divisor,
  /// and added to these (V. Gopal et al., Fast CRC Computation for Generic Polynomials Using PCLMULQDQ
  /// Instruction, Intel 2009).
  enum WideChecksum {
    static let isPossible = cm_has_wide_products() != 0

    nonisolated(unsafe) private static let far = factors(movingBy: 256)
    nonisolated(unsafe) private static let near = factors(movingBy: 64)

    static func run(_ crc: UInt32, _ block: UnsafeMutableRawPointer) -> UInt32 {
      cm_crc32c_wide(crc, block, BlockCRC.blockSize, far, near)
    }

    /// The factors for the two halves of 128 bits. Bits are reflected, so the lower half is the higher power,
    /// and a product is one bit position too low: the factors are twice the remainders.
    private static func factors(movingBy bytes: Int) -> UnsafePointer<UInt64> {
      let factors = UnsafeMutablePointer<UInt64>.allocate(capacity: 2)
      factors.initialize(to: UInt64(power(8 * bytes + 32)) << 1)
      (factors + 1).initialize(to: UInt64(power(8 * bytes - 32)) << 1)
      return UnsafePointer(factors)
    }

    /// x to a power, modulo the divisor; bits reflected.
    private static func power(_ exponent: Int) -> UInt32 {
      (0..<exponent).reduce(0x8000_0000) { rest, _ in rest & 1 == 0 ? rest >> 1 : rest >> 1 ^ 0x82f6_3b78 }
    }
  }
#endif

/// In three interleaved parts, which are then combined: a processor starts a CRC instruction before an
/// independent earlier one has finished.
///
/// A CRC is linear: that of two parts is that of the first, advanced by as many zero bytes as the second has,
/// xor that of the second started from zero. Advancing by a fixed number of bytes is a table look-up for each
/// of the four bytes.
enum ThreefoldChecksum {
  /// Bytes of a part; three leave 16 bytes of the block.
  private static let part = 1360

  /// `shift[256 * i + byte]`: what `byte` at place `i` of a CRC becomes `part` zero bytes later.
  private static let shift: [UInt32] = {
    let zeros = [UInt8](repeating: 0, count: part)
    return (0..<1024).map { index in
      zeros.withUnsafeBytes {
        cm_crc32c(UInt32(index & 255) << UInt32(8 * (index >> 8)), $0.baseAddress, part)
      }
    }
  }()

  @inline(__always)
  private static func moved(_ crc: UInt32, _ table: UnsafePointer<UInt32>) -> UInt32 {
    table[Int(crc & 255)] ^ table[256 + Int(crc >> 8 & 255)] ^ table[512 + Int(crc >> 16 & 255)]
      ^ table[768 + Int(crc >> 24)]
  }

  /// The CRC continued from `crc`, without the final inversion.
  static func run(_ crc: UInt32, _ block: UnsafeMutableRawPointer) -> UInt32 {
    var parts: (UInt32, UInt32, UInt32) = (crc, 0, 0)
    withUnsafeMutableBytes(of: &parts) {
      cm_crc32c_triple($0.baseAddress?.assumingMemoryBound(to: UInt32.self), block, part)
    }
    let joined = shift.withUnsafeBufferPointer { table -> UInt32 in
      guard let base = table.baseAddress else { return 0 }
      return moved(moved(parts.0, base) ^ parts.1, base) ^ parts.2
    }
    return cm_crc32c(joined, block + 3 * part, BlockCRC.blockSize - 3 * part)
  }
}
