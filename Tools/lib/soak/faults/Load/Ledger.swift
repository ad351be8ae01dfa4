/// What every block may hold, as far as the ends of commands tell.
///
/// A write that succeeded leaves one version; one that failed leaves the old or the new. A read settles which, and
/// every later read has to agree: a write that was given up never lands later.
struct Ledger {
  private struct Record {
    /// The versions a read may return.
    var visible: [UInt64] = [0]
    /// The versions a power cut may leave, each with the moment it was issued at.
    var surviving: [(version: UInt64, moment: UInt64)] = [(0, 0)]
  }

  /// What a Flush will have made durable, when it succeeds.
  struct Mark {
    fileprivate let moment: UInt64
    fileprivate let visible: [[UInt64]]
  }

  private var records: [Record]
  private var moment: UInt64 = 0

  init(blocks: Int) { records = Array(repeating: Record(), count: blocks) }

  /// The versions a read of a block may return.
  func visible(_ block: UInt64) -> [UInt64] { records[Int(block)].visible }

  /// A change of a block is sent.
  mutating func issue(_ version: UInt64, to block: UInt64) {
    moment += 1
    records[Int(block)].surviving.append((version, moment))
    // While it is under way the block may hold either.
    if !records[Int(block)].visible.contains(version) { records[Int(block)].visible.append(version) }
  }

  /// A change of a block succeeded.
  mutating func succeed(_ version: UInt64, at block: UInt64, isDurable: Bool) {
    records[Int(block)].visible = [version]
    guard isDurable else { return }
    let issued = records[Int(block)].surviving.last { $0.version == version }?.moment ?? 0
    records[Int(block)].surviving = [(version, issued)]
  }

  /// A block was read, and found to hold a version.
  mutating func settle(_ block: UInt64, _ version: UInt64) { records[Int(block)].visible = [version] }

  /// A Flush is sent: it covers what has completed by now. A change under way leaves the block's possibilities open.
  func mark() -> Mark { Mark(moment: moment, visible: records.map(\.visible)) }

  /// That Flush succeeded.
  mutating func flush(_ mark: Mark) {
    for index in records.indices {
      let covered = mark.visible[index]
      records[index].surviving.removeAll { $0.moment <= mark.moment && !covered.contains($0.version) }
    }
  }

  /// The power was cut: every block holds something that it may have kept.
  mutating func cutPower() {
    for index in records.indices {
      var versions: [UInt64] = []
      for (version, _) in records[index].surviving where !versions.contains(version) {
        versions.append(version)
      }
      records[index].visible = versions
    }
  }

  /// The power was cut, and all that was written is still there: discards alone may have been undone.
  mutating func undoDiscards() {
    for index in records.indices where records[index].visible.contains(0) {
      let possible = records[index].surviving.map(\.version)
      records[index].visible += possible.filter { !records[index].visible.contains($0) }
    }
  }

  /// The device starts anew with what it holds: all of it is durable.
  mutating func restart() {
    for index in records.indices {
      records[index].surviving = records[index].visible.map { ($0, 0) }
    }
  }
}
