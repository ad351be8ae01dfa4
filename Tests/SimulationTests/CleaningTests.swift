import Simulation
import Testing

/// The model in which cleaning policies are compared.
@Suite struct CleaningTests {
  @Test func theTheorySolvesItsEquation() {
    // A live share of 0.467 at a fill of 0.7, and of 0.629 at 0.8.
    #expect(abs(CleaningTheory.uniform(fill: 0.7) - 1 / (1 - 0.467)) < 0.01)
    #expect(abs(CleaningTheory.uniform(fill: 0.8) - 1 / (1 - 0.629)) < 0.01)
  }

  @Test("no policy does better than theory with uniform writes, and none fails", arguments: [0.5, 0.67])
  func uniform(fill: Double) throws {
    for policy in CleaningModel.Policy.allCases {
      let outcome = try #require(CleaningModel.run(policy, .uniform, fill: fill, rounds: 2, seed: 3))
      #expect(outcome.amplification > CleaningTheory.uniform(fill: fill) - 0.05, "\(policy)")
    }
  }

  @Test("where few blocks take most writes, the cleaner's policy moves less than greedy", arguments: [1, 2])
  func hotAndCold(seed: UInt64) throws {
    for trace in [CleaningTrace.ninetyTen, .zipf] {
      let greedy = try #require(CleaningModel.run(.greedy, trace, fill: 0.75, rounds: 2, seed: seed))
      let ours = try #require(CleaningModel.run(.varve, trace, fill: 0.75, rounds: 2, seed: seed))
      #expect(ours.amplification < greedy.amplification * 0.95, "\(trace)")
    }
  }

  @Test("every trace stays within its blocks and repeats with its seed", arguments: CleaningTrace.allCases)
  func traces(trace: CleaningTrace) throws {
    let first = try #require(CleaningModel.run(.varve, trace, fill: 0.6, rounds: 1, seed: 9))
    let second = try #require(CleaningModel.run(.varve, trace, fill: 0.6, rounds: 1, seed: 9))
    #expect(first.amplification == second.amplification)
    #expect(first.amplification >= 1)
  }
}
