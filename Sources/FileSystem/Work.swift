/// How much is done in one event, counted in what takes time rather than by a clock: so a run does it alike each time.
///
/// A unit is about 3 ns of the processors of 2020.
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
  /// What one event may do at most: what was begun before the share was spent is done to its end.
  static let limit = 65_536
}

extension FileSystem {
  /// The most work that an event may do, in units of which one is about 3 ns: a step of at most 200 us.
  public static var stepLimit: UInt64 { UInt64(Work.limit) }

  /// Whether the event at hand has done its share.
  var isSpent: Bool { work >= Work.perStep }

  @inline(__always)
  func beginEvent() { work = 0 }

  @inline(__always)
  func endEvent() { if work > counters.mostWorkPerStep { counters.mostWorkPerStep = UInt64(work) } }
}
