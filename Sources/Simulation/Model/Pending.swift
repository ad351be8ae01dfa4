import FileProtocol

/// An action between its beginning and its reply.
public final class Pending {
  public let action: Action
  public let client: Int
  /// The tick at which it began.
  let begun: UInt64
  let moment: Moment
  /// Whether it counts among its client's ordered operations.
  let position: Int
  /// The errors of which it must end with one; empty when it must succeed.
  var expected: Set<Int32> = []
  /// How to undo it, in order.
  var undo: [() -> Void] = []
  /// Nodes that lose a name.
  var orphans: [Int] = []
  /// For an action that syncs a file: its writes up to this tick were answered before.
  var syncs: UInt64 = 0
  /// For an action that syncs everything: the same for each node.
  var syncsAll: [UInt64] = []
  /// A write's data.
  public internal(set) var payload: [UInt8] = []

  init(_ action: Action, client: Int, begun: UInt64, moment: Moment, position: Int) {
    self.action = action
    self.client = client
    self.begun = begun
    self.moment = moment
    self.position = position
  }

  func fails(_ errors: Int32...) { expected = Set(errors) }
}
