import TestSupport
import Testing

@testable import NVMe

@Suite struct TrackerPoolTests {
  @Test func neverHandsOutATrackerTwice() {
    var random = SplitMix(seed: 3)
    var pool = TrackerPool(count: 9)
    var taken: [UInt16] = []
    for _ in 0..<5_000 {
      if Bool.random(using: &random) {
        guard let tracker = pool.take() else {
          #expect(taken.count == 9)
          continue
        }
        #expect(!taken.contains(tracker.pointee.commandID))
        #expect(tracker.pointee.commandID != .max)
        taken.append(tracker.pointee.commandID)
      } else if let position = taken.indices.randomElement(using: &random) {
        let commandID = taken.remove(at: position)
        guard let tracker = pool.inFlight(commandID) else {
          Issue.record("command \(commandID) is not known")
          continue
        }
        pool.give(tracker)
        // The same identifier again is a duplicate completion.
        #expect(pool.inFlight(commandID) == nil)
      }
    }
  }

  @Test func rejectsIdentifiersThatAreNotInFlight() {
    var pool = TrackerPool(count: 4)
    #expect(!(UInt16.min...UInt16.max).contains { pool.inFlight($0) != nil })
    let tracker = pool.take()
    let known = (UInt16.min...UInt16.max).filter { pool.inFlight($0) != nil }
    #expect(known == [tracker?.pointee.commandID])
  }
}
