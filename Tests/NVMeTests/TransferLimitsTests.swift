import TestSupport
import Testing

@testable import NVMe

@Suite struct TransferLimitsTests {
  @Test func chunksCoverATransferAndKeepTheLimits() {
    var random = SplitMix(seed: 7)
    for _ in 0..<2_000 {
      let limits = TransferLimits(
        maximum: UInt32.random(in: 1...64, using: &random),
        boundary: [0, 1, 3, 8, 32, 100].randomElement(using: &random) ?? 0)
      var frame = UInt64.random(in: 0..<1_000_000, using: &random)
      var remaining = UInt32.random(in: 1...500, using: &random)
      while remaining > 0 {
        let count = limits.chunk(at: frame, remaining: remaining)
        #expect(count >= 1 && count <= remaining && count <= limits.maximum)
        if limits.boundary != 0 {
          let boundary = UInt64(limits.boundary)
          #expect(frame / boundary == (frame + UInt64(count) - 1) / boundary)
        }
        frame += UInt64(count)
        remaining -= count
      }
    }
  }
}
