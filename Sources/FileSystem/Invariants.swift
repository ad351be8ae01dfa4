/// What is wrong with the state in memory: nothing, if the code is right, whatever lies on the device.
///
/// Every owner checks what it promises of its own fields (`checkInvariants`), and where two owners count the
/// same thing, the higher one compares. The simulation asks after each event; no product does.
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
  /// What contradicts the owners' promises at this moment, between two events; empty when nothing does. It is
  /// for tests.
  /// - Parameter walksFrames: whether every frame and segment is looked at too, which takes 20 times as long.
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
    pages.checkInvariants(&invariants)
    uncommitted.checkInvariants(&invariants)
    return invariants.violations
  }
}
