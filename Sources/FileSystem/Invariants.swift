/// Violated invariants of the state in memory. Correct code has none, whatever the device holds.
///
/// Every owner checks what it promises of its own fields (`checkInvariants`), and where two owners count the
/// same thing, the higher one compares. The simulation checks after each event; the daemon and the tools
/// never do.
struct Invariants {
  private(set) var violations: [String] = []
  /// Violations kept at most.
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
  /// The owners' violated promises at this moment, between two events; empty when all hold. For tests only.
  /// - Parameter walksFrames: whether every frame and segment is checked too, which takes 20 times as long.
  public func checkInvariants(walksFrames: Bool = true) -> [String] {
    var invariants = Invariants()
    waiting.checkInvariants(&invariants)
    slots.checkInvariants(&invariants)
    writes.checkInvariants(&invariants)
    log.checkInvariants(&invariants)
    checkpoint.checkInvariants(&invariants)
    space.checkInvariants(&invariants)
    cleaner.checkInvariants(&invariants)
    free.checkInvariants(&invariants)
    guard walksFrames else { return invariants.violations }
    cache.checkInvariants(&invariants)
    waiting.checkPins(&invariants)
    segments.checkInvariants(&invariants)
    nodes.checkInvariants(&invariants)
    states.checkInvariants(&invariants)
    pages.checkInvariants(&invariants)
    uncommitted.checkInvariants(&invariants)
    return invariants.violations
  }
}
