import Format
import TestSupport
import Testing

@Suite("Checkpoint pack")
struct CheckpointPackTests {
  private static let nonce = Nonce(high: 11, low: 12)

  private static func root(_ geometry: Geometry, _ random: inout SplitMix) -> TableRoot {
    var root = TableRoot()
    root.height = .random(in: 1...5, using: &random)
    root.limit = .random(in: 0...min(NodeID.maximumNumber, 1 << (8 * UInt64(root.height))), using: &random)
    root.used = .random(in: 0...root.limit, using: &random)
    root.cursor = random.next()
    root.checksum = UInt32(truncatingIfNeeded: random.next())
    root.address = .random(in: geometry.firstSegmentBlock..<geometry.segmentEnd, using: &random)
    return root
  }

  private static func pack(_ geometry: Geometry, _ random: inout SplitMix) -> CheckpointPack {
    var pack = CheckpointPack()
    pack.sequence = .random(in: 1..<CheckpointPack.sequenceLimit, using: &random)
    pack.epoch = .random(in: 0..<CheckpointPack.epochLimit, using: &random)
    pack.flags = .random(in: 0...1, using: &random)
    pack.time = Int64(bitPattern: random.next())
    pack.log.block = .random(in: geometry.firstSegmentBlock..<geometry.segmentEnd, using: &random)
    pack.log.sequence = .random(in: 1..<CheckpointPack.sequenceLimit, using: &random)
    pack.log.previousChecksum = UInt32(truncatingIfNeeded: random.next())
    pack.log.nextSegment = .random(in: 0..<geometry.segmentCount, using: &random)
    pack.inodes = root(geometry, &random)
    pack.internals = root(geometry, &random)
    pack.reservedBlocks = .random(in: 0...geometry.blockCount, using: &random)
    pack.usage = (0..<geometry.usageBlocks).map { _ in
      CheckpointPack.UsageSelection(
        checksum: UInt32(truncatingIfNeeded: random.next()), copy: .random(in: 0...1, using: &random))
    }
    return pack
  }

  @Test("Decoding returns what was encoded, at every size of filesystem", arguments: [14, 18, 24, 28, 32])
  func roundTrip(bits: UInt64) throws {
    var random = SplitMix(seed: bits)
    let geometry = try Geometry.fitting(blockCount: 1 << bits)
    var bytes = [UInt8](repeating: 0xFF, count: Int(geometry.packBlocks) * Page.size)
    for _ in 0..<10 {
      let pack = Self.pack(geometry, &random)
      bytes.withUnsafeMutableBytes { pack.encode(into: $0, geometry: geometry, nonce: Self.nonce) }
      let decoded = bytes.withUnsafeMutableBytes {
        CheckpointPack(decoding: $0, geometry: geometry, nonce: Self.nonce)
      }
      #expect(decoded == pack)
      let foreign = bytes.withUnsafeMutableBytes {
        CheckpointPack(decoding: $0, geometry: geometry, nonce: Nonce(high: 11, low: 13))
      }
      #expect(foreign == nil)
    }
  }

  @Test("Every flipped byte is detected")
  func flips() throws {
    var random = SplitMix(seed: 8)
    let geometry = try Geometry.fitting(blockCount: 1 << 14)
    var bytes = [UInt8](repeating: 0, count: Int(geometry.packBlocks) * Page.size)
    let pack = Self.pack(geometry, &random)
    bytes.withUnsafeMutableBytes { pack.encode(into: $0, geometry: geometry, nonce: Self.nonce) }
    for at in bytes.indices {
      bytes[at] ^= 0x40
      let decoded = bytes.withUnsafeMutableBytes {
        CheckpointPack(decoding: $0, geometry: geometry, nonce: Self.nonce)
      }
      #expect(decoded == nil, "byte \(at)")
      bytes[at] ^= 0x40
    }
  }

  @Test("Numbers that lead out of the filesystem are refused under a right checksum")
  func implausible() throws {
    var random = SplitMix(seed: 9)
    let geometry = try Geometry.fitting(blockCount: 1 << 14)
    let changes: [(inout CheckpointPack) -> Void] = [
      { $0.sequence = 0 }, { $0.sequence = .max }, { $0.epoch = .max }, { $0.log.sequence = 0 },
      { $0.log.sequence = .max }, { $0.log.block = geometry.segmentEnd }, { $0.log.block = 0 },
      { $0.log.nextSegment = geometry.segmentCount }, { $0.inodes.height = 0 }, { $0.inodes.height = 6 },
      { $0.internals.height = .max }, { $0.internals.address = 1 }, { $0.inodes.limit = .max },
      { $0.inodes.used = $0.inodes.limit + 1 }, { $0.reservedBlocks = geometry.blockCount + 1 },
      { $0.usage[0].copy = 2 },
    ]
    for change in changes {
      var pack = Self.pack(geometry, &random)
      change(&pack)
      var bytes = [UInt8](repeating: 0, count: Int(geometry.packBlocks) * Page.size)
      let decoded = bytes.withUnsafeMutableBytes { buffer in
        pack.encode(into: buffer, geometry: geometry, nonce: Self.nonce)
        return CheckpointPack(decoding: buffer, geometry: geometry, nonce: Self.nonce)
      }
      #expect(decoded == nil)
    }
  }
}
