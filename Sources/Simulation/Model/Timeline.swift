/// The history of a value: what it is after the first `position` operations of one client.
struct Timeline<Value> {
  private(set) var changes: [(position: Int, value: Value)] = []

  /// Sets the value from an operation on. Positions never decrease.
  mutating func append(_ value: Value, at position: Int) { changes.append((position, value)) }

  /// Undoes the last change.
  mutating func removeLast() { changes.removeLast() }

  var latest: Value? { changes.last?.value }

  /// The value after `position` operations, nil before the first change.
  func value(at position: Int) -> Value? {
    changes.last { $0.position <= position }?.value
  }

  /// Whether it changes in operations after `low`, up to `high`.
  func changes(after low: Int, through high: Int) -> Bool {
    for change in changes.reversed() {
      if change.position <= low { return false }
      if change.position <= high { return true }
    }
    return false
  }
}

/// When something happened: between the beginning of an operation and its answer.
final class Moment {
  let earliest: Int64
  /// Unbounded until the operation was answered.
  var latest = Int64.max
  /// Set when the operation named the time itself.
  let isExact: Bool

  init(from earliest: Int64) {
    self.earliest = earliest
    isExact = false
  }

  init(exactly time: Int64) {
    earliest = time
    latest = time
    isExact = true
  }

  func contains(_ time: Int64) -> Bool { time >= earliest && time <= latest }
}
