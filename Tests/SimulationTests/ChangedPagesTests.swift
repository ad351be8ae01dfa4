import Simulation
import Testing

/// A few of the runs that `Tools/soak changed-pages` makes for an hour.
@Suite struct ChangedPagesTests {
  @Test func memoryThatChangesDoesNoHarm() throws {
    let proof = try ChangedPagesProof()
    var errors = 0
    for seed in 1...12 as ClosedRange<UInt64> {
      do { errors += try proof.run(seed: seed).errors } catch { Issue.record("seed \(seed): \(error)") }
    }
    #expect(errors > 0)
  }
}
