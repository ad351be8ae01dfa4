import FuzzTargets
import Testing

/// A short, seeded run of every target of `Tools/fuzz`.
@Suite struct FuzzTargetTests {
  @Test(arguments: FuzzTarget.allCases) func everyTargetStandsASlice(_ target: FuzzTarget) {
    for seed in UInt64(0)..<150 { target.run(seed: seed &* 0x9e37_79b9_7f4a_7c15) }
  }

  /// Controllers that ask for hours to become ready.
  @Test(arguments: [
    (
      FuzzTarget.registers,
      "ff46ffffffffffffffffffffff040000000000000003fffc0d0a0000ffff0110ffffffffffffffffffffffff"
    ),
    (
      FuzzTarget.driver,
      "ff0a4b170700fffffffffff96501000000000000ffffffffffb4fffffffffff96501000000000000ffffffffffffffffffffffff53ff7472"
    ),
  ])
  func whatOnceTookTooLongEnds(_ target: FuzzTarget, input: String) {
    let digits = Array(input)
    let bytes = stride(from: 0, to: digits.count, by: 2).map {
      UInt8(String(digits[$0..<$0 + 2]), radix: 16) ?? 0
    }
    bytes.withUnsafeBytes { target.run($0) }
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
