import FileProtocol

/// The event at hand: its time, and how much has been done in it.
///
/// Work is counted in what takes time rather than by a clock: so a run does it alike each time.
final class Event {
  /// The time of the event; the reactor gives it before each.
  var now = Instant(monotonic: 0, realtime: 0)
  /// Work done in the event, in units; see `Work`.
  @exclusivity(unchecked)
  private(set) var work = 0
  /// The most work done in one event.
  private(set) var mostWork = 0

  /// Whether the event has done its share.
  @inline(__always)
  var isSpent: Bool { work >= Work.perStep }

  @inline(__always)
  func begin() { work = 0 }

  @inline(__always)
  func end() { if work > mostWork { mostWork = work } }

  @inline(__always)
  func count(_ units: Int) { work += units }
}

/// What work costs, in units of about 3 ns of the processors of 2020.
enum Work {
  /// A block looked up in memory.
  static let frame = 8
  /// An entry of a node looked at.
  static let entry = 1
  /// A checksum of a block.
  static let checksum = 64
  /// A block copied.
  static let copy = 48
  /// A dirty page handed to the log, beside its checksum.
  static let page = 48
  /// A name given to a listing.
  static let name = 32

  /// What is done in one event before the rest is left to the next.
  static let perStep = 16_384
  /// What one event may do at most: what was begun before the share was spent is done to its end. A step of
  /// at most 200 us.
  static let limit = 65_536
}
