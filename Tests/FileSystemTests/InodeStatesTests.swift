import Format
import Simulation
import Testing

@testable import FileSystem

@Suite("States of inodes in use") struct InodeStatesTests {
  /// Random lookups and forgets, beside a dictionary.
  @Test(arguments: [1, 2, 3] as [UInt64]) func lookupsAreCounted(seed: UInt64) {
    var random = SeededRandom(seed)
    let states = InodeStates()
    var lookups: [UInt64: UInt64] = [:]
    for _ in 0..<20_000 {
      let id = NodeID(number: UInt64(random.number(2...3001)), generation: 0)
      if random.below(2) == 0 {
        states.look(states.obtain(id, size: 0), in: 1, hash: 0)
        lookups[id.number, default: 0] += 1
      } else if let known = lookups[id.number], let place = states.find(id.number) {
        let count = UInt64(random.number(1...Int(known)))
        #expect(states.forget(place, count) == (count == known))
        states.releaseIfUnused(place)
        lookups[id.number] = count == known ? Optional<UInt64>.none : known - count
      }
    }
    #expect(states.known == lookups.count)
    var invariants = Invariants()
    states.checkInvariants(&invariants)
    #expect(invariants.violations.isEmpty)
    #expect(Set(old(of: states)) == Set(lookups.keys))
  }

  @Test func theFirstLookedUpAreTheFirstToBeForgotten() {
    let states = InodeStates()
    let root = states.obtain(.root, size: 0)
    states.look(root, in: 1, hash: 0)
    for number in UInt64(2)...500 {
      states.look(states.obtain(NodeID(number: number, generation: 7), size: 0), in: 1, hash: 0)
    }
    #expect(old(of: states) == Array(2...500))
  }

  /// The inodes that are found in one turn around the places.
  private func old(of states: InodeStates) -> [UInt64] {
    var found: [UInt64] = []
    while true {
      let batch = withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 64) { nodes in
        nodes[..<states.takeOld(nodes)].map { NodeID(raw: $0).number }
      }
      let fresh = batch.filter { !found.contains($0) }
      found += fresh
      if fresh.count < batch.count || batch.isEmpty { return found }
    }
  }
}
