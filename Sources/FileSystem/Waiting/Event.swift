import FileProtocol

/// The current event: its time, and how much work has been done in it.
///
/// Work is counted in units instead of measured by a clock, so that a run can be repeated exactly.
final class Event {
  /// The time of the event; the reactor sets it before each.
  var now = Instant(monotonic: 0, realtime: 0)
  /// Work done in the event, in units; see `Work`.
  @exclusivity(unchecked)
  private(set) var work = 0
  /// The most work done in one event.
  private(set) var mostWork = 0

  /// Whether the event has done its share of work: the rest is left to the next.
  @inline(__always)
  var isSpent: Bool { work >= Work.perStep }

  @inline(__always)
  func begin() { work = 0 }

  @inline(__always)
  func end() { if work > mostWork { mostWork = work } }

  @inline(__always)
  func count(_ units: Int) { work += units }
}

/// The cost of work, in units of about 3 ns on a processor of 2020.
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

  /// The share of one event.
  static let perStep = 16_384
  /// The most that one event may do, about 200 us: an operation or step begun before the share was spent runs
  /// to its end.
  static let limit = 65_536
}
