import Testing

@testable import Format

@Suite("SipHash-2-4")
struct SipHashTests {
  /// The reference's key, bytes 0…15.
  private let key: (UInt64, UInt64) = (0x0706_0504_0302_0100, 0x0F0E_0D0C_0B0A_0908)

  @Test("The test values of the algorithm's paper and its reference")
  func vectors() {
    func hash(_ count: Int) -> UInt64 {
      (0..<count).map { UInt8($0) }.raw { SipHash.hash($0, key: key) }
    }
    #expect(hash(0) == 0x726f_db47_dd0e_0e31)
    #expect(hash(1) == 0x74f8_39c5_93dc_67fd)
    #expect(hash(8) == 0x93f5_f579_9a93_2462)
    #expect(hash(15) == 0xa129_ca61_49be_45e5)
  }
}
