import FuzzTargets
import Testing

/// A seeded slice of what `Tools/fuzz` does for hours.
@Suite struct FuzzTargetTests {
  @Test(arguments: FuzzTarget.allCases) func everyTargetStandsASlice(_ target: FuzzTarget) {
    for seed in UInt64(0)..<150 { target.run(seed: seed &* 0x9e37_79b9_7f4a_7c15) }
  }

  @Test func theDriverIsTriedBeyondItsBringUp() {
    var opened = 0
    for seed in UInt64(0)..<100 {
      let controller = HostileController(Doubt(seed: seed), .init(completions: 15))
      let work = DriverWork(controller)
      #expect(work.complaint == nil)
      if work.hasOpened { opened += 1 }
    }
    #expect(opened > 30)
  }
}
