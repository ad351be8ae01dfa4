import Format

/// What went wrong since the filesystem was last checked in full: kept on the device, and told to people
/// without flooding them.
struct ErrorAccount {
  /// As it is, or will be, on the device.
  var record = ErrorRecord()
  /// Whether it was read from the device.
  var isKnown = false
  /// Whether the device does not have it yet.
  var isDirty = false
  /// When it may be written next (ns, monotonic).
  var nextWrite: UInt64 = 0

  /// What has been told of, each damaged block once: as many as are kept.
  private var told: Set<UInt64> = []
  private static let toldLimit = 4096
  /// Messages of the present span of time, and those that were left out of it.
  private var messages = 0
  private var leftOut = 0
  private var spanEnd: UInt64 = 0
  private static let messagesPerSpan = 20
  private static let span: UInt64 = 60_000_000_000
  /// How often the record is written at most (ns).
  static let interval: UInt64 = 1_000_000_000

  /// Counts an error, and says what is to be told of it.
  /// - Parameters:
  ///   - place: names what is damaged, so that it is told of once; nil for what may happen again.
  ///   - now: ns, monotonic.
  mutating func add(_ event: ErrorRecord.Event, _ message: String, place: UInt64?, now: UInt64) -> [String] {
    record.add(event)
    isDirty = true
    if let place {
      if told.count == Self.toldLimit { told.removeAll(keepingCapacity: true) }
      guard told.insert(place).inserted else { return [] }
    }
    var messages: [String] = []
    if now >= spanEnd {
      if leftOut > 0 { messages.append("\(leftOut) more errors were not told of; varve stat counts all") }
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
