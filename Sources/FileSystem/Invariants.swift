/// What is wrong with the state in memory: nothing, if the code is right, whatever lies on the device.
///
/// Every owner checks what it promises of its own fields (`checkInvariants`), and where two owners count the same thing, the higher one
/// compares. The simulation asks after each event; no product does, for a check looks at every frame.
struct Invariants {
  private(set) var violations: [String] = []
  /// More than these are not of interest.
  private static let kept = 16

  mutating func expect(_ condition: Bool, _ what: @autoclosure () -> String) {
    if !condition, violations.count < Self.kept { violations.append(what()) }
  }

  mutating func expect<Value: Equatable>(
    _ what: @autoclosure () -> String, _ left: Value, equals right: Value
  ) {
    guard left != right else { return }
    expect(false, "\(what()): \(left) is not \(right)")
  }
}

extension FileSystem {
  /// What contradicts the owners' promises at this moment, between two events; empty when nothing does. It looks at every frame of the
  /// cache, so it is for tests.
  public func checkInvariants() -> [String] {
    var invariants = Invariants()
    cache.checkInvariants(&invariants)
    waiting.checkInvariants(&invariants)
    segments.checkInvariants(&invariants)
    writes.checkInvariants(&invariants)
    nodes.checkInvariants(&invariants)
    pages.checkInvariants(&invariants)
    uncommitted.checkInvariants(&invariants)
    log.checkInvariants(&invariants)
    checkpoint.checkInvariants(&invariants)
    space.checkInvariants(&invariants)
    cleaner.checkInvariants(&invariants)
    free.checkInvariants(&invariants)
    slots.checkInvariants(&invariants)
    return invariants.violations
  }
}
