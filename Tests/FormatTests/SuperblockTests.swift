import Format
import TestSupport
import Testing

@Suite("Superblock")
struct SuperblockTests {
  static func random(_ random: inout SplitMix) throws -> Superblock {
    let size = UInt64.random(in: 8800...(1 << 32), using: &random)
    var label = random.bytes(Int.random(in: 0...64, using: &random))
    label.removeAll { $0 == 0 }
    return Superblock(
      uuid: random.bytes(16), nonce: Nonce(high: random.next(), low: random.next()), label: label,
      geometry: try .fitting(blockCount: size), created: Int64(bitPattern: random.next()),
      hashKey: (random.next(), random.next()), programVersion: Array("1.\(random.next() % 1000).3".utf8))
  }

  @Test("A superblock without the version of its program is valid, and a long one is cut")
  func programVersion() throws {
    var random = SplitMix(seed: 8)
    let block = Block()
    var superblock = try Self.random(&random)
    superblock.programVersion = []
    superblock.encode(into: block.page)
    #expect(try Superblock(decoding: block.page).programVersion.isEmpty)
    let long = Superblock(
      uuid: [], nonce: superblock.nonce, label: [], geometry: superblock.geometry, created: 0,
      hashKey: (0, 0),
      programVersion: Array(repeating: 0x31, count: 40))
    long.encode(into: block.page)
    #expect(try Superblock(decoding: block.page).programVersion.count == Superblock.programVersionSize)
  }

  @Test("Decoding returns what was encoded")
  func roundTrip() throws {
    var random = SplitMix(seed: 5)
    for _ in 0..<200 {
      let superblock = try Self.random(&random)
      let block = Block()
      superblock.encode(into: block.page)
      #expect(try Superblock(decoding: block.page) == superblock)
    }
  }

  @Test("Every flipped byte is detected")
  func flips() throws {
    var random = SplitMix(seed: 6)
    let block = Block()
    try Self.random(&random).encode(into: block.page)
    for at in 0..<Page.size {
      let old: UInt8 = block.page.load(at: at)
      block.page.store(old ^ UInt8.random(in: 1...255, using: &random), at: at)
      #expect(throws: FormatError.self) { try Superblock(decoding: block.page) }
      block.page.store(old, at: at)
    }
  }

  @Test("Unknown features refuse the mount, allow only reading, or are ignored")
  func features() throws {
    var random = SplitMix(seed: 7)
    let block = Block()
    var superblock = try Self.random(&random)
    superblock.compatibleFeatures = .max
    superblock.readOnlyFeatures = 1 << 63
    superblock.encode(into: block.page)
    #expect(try Superblock(decoding: block.page).mustBeReadOnly)
    superblock.incompatibleFeatures = 1 << 5
    superblock.encode(into: block.page)
    #expect(throws: FormatError.unknownFeatures(1 << 5)) { try Superblock(decoding: block.page) }
    // A superblock without any features is accepted too.
    superblock.incompatibleFeatures = 0
    superblock.encode(into: block.page)
    #expect(try Superblock(decoding: block.page).incompatibleFeatures == 0)
  }

  @Test("A foreign block and a damaged superblock are distinguished")
  func foreign() {
    let block = Block()
    #expect(throws: FormatError.notVarve) { try Superblock(decoding: block.page) }
    block.page.store(Superblock.magic, at: 0)
    #expect(throws: FormatError.damagedSuperblock("checksum")) { try Superblock(decoding: block.page) }
  }
}
