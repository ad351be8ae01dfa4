import Format
import Glibc

/// The contents, size and time that the promise allows a file to have after a crash.
extension FileHistory {
  /// What is wrong with a recovered file when the first `position` of its client's operations are durable;
  /// nil when nothing is.
  func fault(position: Int, content: [UInt8], modified: Int64) -> String? {
    let floor = promises.reduce(syncedTick) { $1.position <= position ? max($0, $1.tick) : $0 }
    let allowed = changes(position: position, floor: floor, ofSize: true)
    let size = UInt64(content.count)
    let matching = Self.reaching(size, allowed)
    if matching.isEmpty {
      return
        "has \(size) bytes, not \(Set(allowed.map(\.size)).sorted().map(String.init).joined(separator: " or "))"
    }
    let times = timesPossible(changes(position: position, floor: floor, ofSize: false))
    if !times.contains(where: { $0.modified.contains(modified) }) {
      let spans = times.map { "\($0.modified.earliest)-\($0.modified.latest)" }
      return "was modified at \(modified), not within \(spans.joined(separator: ", "))"
    }
    let isBare = matching.contains(where: \.isBare)
    for block in 0..<(size + UInt64(Page.size) - 1) / UInt64(Page.size) {
      let start = Int(block) * Page.size
      let bytes = content[start..<min(start + Page.size, content.count)]
      let since = isBare ? 0 : matching.map(\.tick).min() ?? 0
      if let fault = fault(block: block, bytes, position: position, floor: floor, sizeSince: since) {
        return fault
      }
      let isZeros = Self.areZeros(bytes)
      let past = sizes[..<allowed.endIndex]
      if isZeros, !isBare, !mayBeZeros(block, count: bytes.count, position: position, floor: floor, past) {
        return "block \(block) holds zeros: the file's size was durable before its data"
      }
    }
    return nil
  }

  /// Whether a block may be zeros, as a hole that the file has had there since the last moment known to be
  /// durable, or as zeros that were written: recovery never gives a file a size without the data below it.
  /// - Parameter past: the changes that may have happened.
  private func mayBeZeros(
    _ block: UInt64, count: Int, position: Int, floor: UInt64, _ past: ArraySlice<SizeChange>
  ) -> Bool {
    let versions = self.versions[block] ?? []
    let durable = cuts.filter { $0.position <= position }
    let base = versions.lastIndex { $0.tick <= floor } ?? 0
    let isWritten = versions[base...].contains { version in
      let kept = min(count, Self.kept(version, block: block, cuts: durable))
      return Self.areZeros(version.bytes[..<kept])
    }
    return isWritten
      || past[(past.lastIndex { $0.tick <= floor } ?? 0)...].contains { change in
        let cuts = durable.filter { $0.tick <= change.tick }
        return change.size > block * UInt64(Page.size)
          && !versions.contains { $0.tick <= change.tick && Self.kept($0, block: block, cuts: cuts) > 0 }
      }
  }

  /// The sizes (or times) that the file had between the last moment known to be durable and the first
  /// operation on its size (or time) that is not.
  private func changes(position: Int, floor: UInt64, ofSize: Bool) -> ArraySlice<SizeChange> {
    func bounds(_ change: SizeChange, _ test: (Int) -> Bool) -> Bool {
      guard let place = change.position, change.setsSize || !ofSize else { return false }
      return test(place)
    }
    let low = sizes.lastIndex { $0.tick <= floor || bounds($0) { $0 <= position } } ?? 0
    let high = sizes[(low + 1)...].firstIndex { bounds($0) { $0 > position } }
    return sizes[low..<(high ?? sizes.count)]
  }

  /// Changes of the time, and those that were under way when the first of them began: of concurrent
  /// operations the last to begin need not be the last to be carried out.
  private func timesPossible(_ times: ArraySlice<SizeChange>) -> [SizeChange] {
    let begin = times.first?.modified.earliest ?? 0
    return sizes[..<times.startIndex].filter { $0.modified.latest > begin } + times
  }

  /// The changes that gave or may have given the file this size: a write reaches its end block by block.
  private static func reaching(_ size: UInt64, _ allowed: ArraySlice<SizeChange>) -> [SizeChange] {
    var before = allowed.first?.size ?? 0
    return allowed.filter { change in
      defer { before = change.size }
      let passes = change.position == nil && before < size && size < change.size
      return change.size == size || (passes && size % UInt64(Page.size) == 0)
    }
  }

  private func fault(
    block: UInt64, _ bytes: ArraySlice<UInt8>, position: Int, floor: UInt64, sizeSince: UInt64
  ) -> String? {
    let versions = self.versions[block] ?? []
    let base = versions.lastIndex { $0.tick <= floor }
    let durable = cuts.filter { $0.position <= position }
    for version in versions[(base ?? 0)...].reversed() {
      let kept = Self.kept(version, block: block, cuts: durable)
      if kept > 0, Self.equal(bytes, version.bytes, kept: kept) { return nil }
    }
    if Self.areZeros(bytes) {
      let wasCut = base.map { Self.kept(versions[$0], block: block, cuts: durable) == 0 } ?? true
      if wasCut, !mustBeRewritten(versions, cuts: durable, floor: floor, sizeSince: sizeSince) { return nil }
    }
    let expected = versions[(base ?? 0)...].suffix(4).map { Stamp.describe($0.bytes[...]) }
    return "block \(block) holds \(Stamp.describe(bytes)), not \(expected.joined(separator: " or "))"
  }

  /// How many bytes of a version the cuts after it have left.
  private static func kept(_ version: Version, block: UInt64, cuts: [Cut]) -> Int {
    var kept = Page.size
    for cut in cuts where cut.tick > version.tick {
      let start = block * UInt64(Page.size)
      kept = min(kept, cut.size > start ? Int(min(cut.size - start, UInt64(Page.size))) : 0)
    }
    return kept
  }

  /// Whether a block of zeros would mean that the rewriting of an emptied file was lost: the file has the
  /// size of the new data.
  private func mustBeRewritten(_ versions: [Version], cuts: [Cut], floor: UInt64, sizeSince: UInt64) -> Bool {
    guard let emptied = cuts.last, emptied.size == 0, emptied.tick > floor,
      let first = versions.first(where: { $0.tick > emptied.tick })
    else { return false }
    return sizeSince >= first.tick
  }

  /// Whether `found` is a version of which only the first `kept` bytes are left, followed by zeros.
  private static func equal(_ found: ArraySlice<UInt8>, _ version: [UInt8], kept: Int) -> Bool {
    let count = min(found.count, kept)
    let same = found.withUnsafeBytes { left in
      version.withUnsafeBytes { right in
        guard let left = left.baseAddress, let right = right.baseAddress else { return true }
        return memcmp(left, right, count) == 0
      }
    }
    return same && areZeros(found.dropFirst(count))
  }

  private static let zeros = [UInt8](repeating: 0, count: Page.size)

  private static func areZeros(_ bytes: ArraySlice<UInt8>) -> Bool {
    bytes.withUnsafeBytes { left in
      zeros.withUnsafeBytes { right in
        guard let left = left.baseAddress, let right = right.baseAddress else { return true }
        return memcmp(left, right, min(bytes.count, Page.size)) == 0
      }
    }
  }
}
