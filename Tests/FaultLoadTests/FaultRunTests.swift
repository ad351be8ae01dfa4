import FaultLoad
import Testing

/// A few of the runs that `faults` makes.
@Suite struct FaultRunTests {
  @Test(arguments: FaultKind.allCases) func everyKindIsSurvived(_ kind: FaultKind) {
    var run = FaultRun(seed: 7, kinds: [kind])
    let report = run.run(injections: 6)
    #expect(report.violations.isEmpty, "\(report.violations)")
    #expect(report.faults[kind] == 6)
  }

  @Test(arguments: 0..<4) func anyOneAfterAnother(_ seed: Int) {
    var run = FaultRun(seed: UInt64(seed))
    let report = run.run(injections: 40)
    #expect(report.violations.isEmpty, "\(report.violations)")
    #expect(report.commands > report.errors * 2)
  }
}
