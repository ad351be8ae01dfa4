import TestSupport
import Testing

@testable import NVMe

@Suite struct DoorbellRegisterTests {
  /// The event index is passed when it is one of the values from the old one to just before the new one.
  @Test func isAwaitedWhenItPassesTheEventIndex() {
    var random = SplitMix(seed: 4)
    for _ in 0..<5_000 {
      let old = UInt16.random(in: .min ... .max, using: &random)
      let step = UInt16.random(in: 1...300, using: &random)
      let event = old &+ UInt16(bitPattern: Int16.random(in: -400...400, using: &random))
      let passed = event &- old < step
      let isAwaited = DoorbellRegister.isAwaited(
        event: UInt32(event), from: UInt32(old), to: UInt32(old &+ step))
      #expect(isAwaited == passed)
    }
  }
}
