import NVMeSpec

/// Outstanding Abort commands, and those that have ended while the command to abort has not.
struct AbortTable {
  /// How many are outstanding.
  private(set) var count = 0
  /// The commands whose Abort has ended.
  private var ended: [UInt32] = []

  /// Whether any is outstanding.
  var isUnderWay: Bool { count > 0 }

  /// An Abort was sent.
  mutating func begin() { count += 1 }

  /// The Abort for a command has ended.
  mutating func end(command: UInt16, queue: UInt16) {
    count -= 1
    // ACL is one byte: no more commands than this can be waiting for an Abort's effect.
    if ended.count > Int(UInt8.max) { ended.removeFirst() }
    ended.append(Self.key(command, queue))
  }

  /// Whether the Abort for a command has ended; forgets it.
  mutating func takeEnd(command: UInt16, queue: UInt16) -> Bool {
    guard let index = ended.firstIndex(of: Self.key(command, queue)) else { return false }
    ended.remove(at: index)
    return true
  }

  private static func key(_ command: UInt16, _ queue: UInt16) -> UInt32 {
    UInt32(queue) << 16 | UInt32(command)
  }
}
