import CMachine
import TestSupport
import Testing

@testable import BlockCRC
@testable import Format

@Suite("Checksums and hashes")
struct ChecksumTests {
  @Test("CRC-32C's check value")
  func checkValue() {
    #expect(Array("123456789".utf8).raw { Checksum.unseeded.of($0) } == 0xE306_9283)
  }

  @Test("Different nonces give different checksums of the same bytes")
  func seeded() {
    let zero = [UInt8](repeating: 0, count: Page.size)
    let sums = (0..<100).map { low in
      zero.raw { Checksum(nonce: Nonce(high: 7, low: UInt64(low))).of($0) }
    }
    #expect(Set(sums).count == sums.count)
  }

  @Test("All ways to compute a block's checksum give the same")
  func block() {
    var random = SplitMix(seed: 5)
    for seed in 0..<50 {
      var bytes = random.bytes(Page.size)
      let sum = Checksum(nonce: Nonce(high: UInt64(seed), low: 1))
      let whole = bytes.raw { sum.of($0) }
      let block = bytes.withUnsafeMutableBytes { $0.baseAddress.map { sum.of(Page($0)) } }
      #expect(block == whole)
      let start = UInt32(truncatingIfNeeded: random.next())
      bytes.withUnsafeMutableBytes { bytes in
        guard let base = bytes.baseAddress else { return }
        let plain = cm_crc32c(start, base, Page.size)
        #expect(ThreefoldChecksum.run(start, base) == plain)
        #if arch(x86_64)
          if WideChecksum.isPossible { #expect(WideChecksum.run(start, base) == plain) }
        #endif
      }
    }
  }

  @Test("The excepted bytes do not matter, all others do")
  func except() {
    var random = SplitMix(seed: 1)
    var bytes = random.bytes(512)
    let sum = Checksum(nonce: Nonce(high: 1, low: 2))
    let before = bytes.raw { sum.of($0, except: 100) }
    for at in 0..<512 {
      bytes[at] ^= 0x10
      #expect((bytes.raw { sum.of($0, except: 100) } == before) == (100..<104).contains(at))
      bytes[at] ^= 0x10
    }
  }

  @Test("A name's hash has 48 bits, is never 0, and depends on the key")
  func directoryHash() {
    var random = SplitMix(seed: 2)
    let hash = DirectoryHash(key: (1, 2))
    let other = DirectoryHash(key: (1, 3))
    for _ in 0..<1000 {
      let name = random.bytes(Int.random(in: 1...255, using: &random))
      let value = name.raw { hash.of($0) }
      #expect(value > 0 && value < 1 << 48)
      #expect(value != name.raw { other.of($0) })
    }
  }
}
