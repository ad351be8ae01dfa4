import NVMeSpec
import TestSupport
import Testing

@Suite struct ProtectionGuardTests {
  private func crc(_ bytes: [UInt8], from crc: UInt16 = 0) -> UInt16 {
    bytes.withUnsafeBytes { buffer in
      buffer.baseAddress.map { ProtectionGuard.crc($0, buffer.count, from: crc) } ?? crc
    }
  }

  @Test func hasTheCheckValueOfT10DIF() {
    #expect(crc(Array("123456789".utf8)) == 0xd0db)
    #expect(crc([UInt8](repeating: 0, count: 4096)) == 0)
    // The vectors of the specification's annex for CRC-16: 32 bytes of ones.
    #expect(crc([UInt8](repeating: 0xff, count: 32)) == 0xa293)
  }

  /// Bit by bit, by polynomial division.
  private func slow(_ bytes: [UInt8]) -> UInt16 {
    var rest: UInt16 = 0
    for byte in bytes {
      for bit in (0..<8).reversed() {
        let carry = (rest >> 15) ^ UInt16(byte >> UInt8(bit) & 1)
        rest = rest << 1 ^ (carry == 0 ? 0 : 0x8bb7)
      }
    }
    return rest
  }

  @Test func isTheSameWhicheverWayItIsTaken() {
    var random = SplitMix(seed: 5)
    for _ in 0..<200 {
      let bytes = (0..<Int.random(in: 0...700, using: &random)).map { _ in
        UInt8.random(in: 0...255, using: &random)
      }
      let cut = Int.random(in: 0...bytes.count, using: &random)
      let whole = slow(bytes)
      #expect(crc(bytes) == whole)
      #expect(crc(Array(bytes[cut...]), from: crc(Array(bytes[..<cut]))) == whole)
    }
  }
}
