import Format
import TestSupport
import Testing

@testable import Checker

@Suite("Single flipped bytes")
struct FlipTests {
  @Test("are found in every live block, wherever in it, and never end the check")
  func flips() throws {
    let (builder, _) = try ImageBuilder.populated()
    var random = SplitMix(seed: 9)
    let live = try Self.liveBlocks(builder)
    for block in live.shuffled(using: &random).prefix(80) {
      let flipped = ImageBuilder(over: builder)
      let at = Int.random(in: 0..<Page.size, using: &random)
      try flipped.overwrite(block) { page in
        page.store(page.load(UInt8.self, at: at) ^ UInt8.random(in: 1...255, using: &random), at: at)
      }
      let report = try Checker.check(flipped.image)
      #expect(!report.isClean, "block \(block), byte \(at)")
    }
  }

  @Test("are found when a block cannot be read at all")
  func unreadable() throws {
    let (builder, _) = try ImageBuilder.populated()
    var random = SplitMix(seed: 10)
    for block in try Self.liveBlocks(builder).shuffled(using: &random).prefix(40) {
      let report = try Checker.check(BadBlocks(builder.image, bad: [block]))
      #expect(!report.isClean, "block \(block)")
    }
  }

  /// All blocks in use: superblocks, packs, the selected usage blocks, and all blocks referred to.
  private static func liveBlocks(_ builder: ImageBuilder) throws -> [UInt64] {
    let geometry = builder.superblock.geometry
    let check = try Checker.run(builder.image, options: CheckOptions())
    var blocks: [UInt64] = [0, geometry.blockCount - 1]
    for slot in 0...1 {
      for copy in 0...1 { blocks.append(geometry.packBlock(slot: slot, copy: copy)) }
    }
    blocks += check.pack.usage.indices.map {
      geometry.usageBlock(UInt32($0), copy: check.pack.usage[$0].copy)
    }
    for block in geometry.firstSegmentBlock..<geometry.segmentEnd
    where check.claims.claim(block) == .alreadyClaimed {
      blocks.append(block)
    }
    return blocks
  }
}

/// An image some blocks of which cannot be read.
private final class BadBlocks: BlockReader {
  private let image: any BlockReader
  private let bad: Set<UInt64>

  init(_ image: any BlockReader, bad: Set<UInt64>) {
    self.image = image
    self.bad = bad
  }

  var blockCount: UInt64 { image.blockCount }

  func read(_ blocks: UnsafeBufferPointer<UInt64>, into memory: UnsafeMutableRawPointer) -> [BlockFailure] {
    image.read(blocks, into: memory)
      + blocks.filter(bad.contains).map { BlockFailure(block: $0, errno: 61) }
  }
}
