import Simulation
import Testing

/// A few of the flips that `Tools/soak flips` makes by the thousand.
@Suite struct FlipTests {
  @Test func aFlippedBitIsNeverReadAndAlwaysFound() throws {
    let proof = try FlipProof(blockCount: 9216, seed: 7)
    var random = SeededRandom(11)
    var found = 0
    for _ in 0..<5 {
      let bit = random.next() % proof.bitCount
      switch proof.flip(bit: bit) {
      case .broken(let why): Issue.record("bit \(bit): \(why)")
      case .found: found += 1
      case .unused, .refused: break
      }
    }
    #expect(found > 0)
    #expect(proof.liveBlocks > 4000)
  }

  @Test(arguments: [0, 9215]) func eitherSuperblockMayBreak(block: UInt64) throws {
    let proof = try FlipProof(blockCount: 9216, seed: 7)
    #expect(proof.flip(bit: block * 32768 + 100) == .found(refusals: 0))
  }
}
