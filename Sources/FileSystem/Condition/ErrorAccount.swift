import Format

/// The errors since the last full check: the record of them that is kept on the device, and the rate limit of
/// the messages about them.
struct ErrorAccount {
  /// The error record as it is, or will be, on the device.
  var record = ErrorRecord()
  /// Whether it was read from the device.
  var isKnown = false
  /// Whether it has changed since it was last written.
  var isDirty = false
  /// When it may be written next (ns, monotonic).
  var nextWrite: UInt64 = 0

  /// Damaged blocks that were already reported, so that each is reported once; at most `toldLimit`.
  private var told: Set<UInt64> = []
  private static let toldLimit = 4096
  /// Messages reported in the current time span, and messages suppressed in it.
  private var messages = 0
  private var leftOut = 0
  private var spanEnd: UInt64 = 0
  private static let messagesPerSpan = 20
  private static let span: UInt64 = 60_000_000_000
  /// The shortest time between two writes of the record (ns).
  static let interval: UInt64 = 1_000_000_000

  /// Counts an error.
  /// - Parameters:
  ///   - place: identifies the damaged block, so that it is reported once; nil to report the error each time.
  ///   - now: ns, monotonic.
  /// - Returns: the messages to report now; empty when this one is suppressed.
  mutating func add(_ event: ErrorRecord.Event, _ message: String, place: UInt64?, now: UInt64) -> [String] {
    record.add(event)
    isDirty = true
    if let place {
      if told.count == Self.toldLimit { told.removeAll(keepingCapacity: true) }
      guard told.insert(place).inserted else { return [] }
    }
    var messages: [String] = []
    if now >= spanEnd {
      if leftOut > 0 { messages.append("\(leftOut) more errors were not reported; varve stat counts all") }
      (self.messages, leftOut, spanEnd) = (0, 0, now &+ Self.span)
    }
    if self.messages < Self.messagesPerSpan {
      self.messages += 1
      messages.append(message)
    } else {
      leftOut += 1
    }
    return messages
  }
}
