import CMachine
import Testing

@testable import NVMe

@Suite struct ClockTests {
  @Test func staysWithTheMonotonicClockAndNeverGoesBack() {
    var clock = Clock(.system)
    let tolerance = Clock.interval
    let end = cm_monotonic_ns() + 5 * Clock.interval
    var last: UInt64 = 0
    var before: UInt64 = 0
    while before < end {
      before = cm_monotonic_ns()
      let time = clock.read()
      let after = cm_monotonic_ns()
      #expect(time >= last)
      #expect(time + tolerance >= before && time <= after + tolerance)
      last = time
    }
  }

  @Test func returnsTheTimesOfAnotherSource() {
    nonisolated(unsafe) var now: UInt64 = 7
    var clock = Clock(TimeSource(now: { now }, sleep: { _ in }))
    #expect(clock.read() == 7)
    now = 1 << 60
    #expect(clock.read() == 1 << 60)
    now = 9
    #expect(clock.read() == 1 << 60)
  }
}
