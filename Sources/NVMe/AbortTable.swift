import NVMeSpec

/// Abort commands under way, and those that have ended while the command they were for had not.
struct AbortTable {
  /// How many are under way.
  private(set) var count = 0
  /// The commands whose Abort has ended.
  private var ended: [UInt32] = []

  /// Whether any is under way.
  var isUnderWay: Bool { count > 0 }

  /// An Abort was sent.
  mutating func begin() { count += 1 }

  /// The Abort for a command has ended.
  mutating func end(command: UInt16, queue: UInt16) {
    count -= 1
    // More cannot be waited for at once.
    if ended.count > Int(UInt8.max) { ended.removeFirst() }
    ended.append(Self.key(command, queue))
  }

  /// Whether the Abort for a command has ended; asked once.
  mutating func takeEnd(command: UInt16, queue: UInt16) -> Bool {
    guard let index = ended.firstIndex(of: Self.key(command, queue)) else { return false }
    ended.remove(at: index)
    return true
  }

  private static func key(_ command: UInt16, _ queue: UInt16) -> UInt32 {
    UInt32(queue) << 16 | UInt32(command)
  }
}
