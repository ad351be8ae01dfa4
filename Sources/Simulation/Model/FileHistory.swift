import Format

/// All contents and sizes that a file has had since it was made.
final class FileHistory {
  /// A length the file had, and since when.
  struct SizeChange {
    var tick: UInt64
    /// The client's operation that set the size or the time; nil for a write, which needs no order.
    var position: Int?
    var size: UInt64
    var modified: Moment
    /// Whether the operation set the size, not only the time.
    var setsSize = true
    /// Recovery may give the file this size without any of the data written before.
    var isBare = false
  }

  /// The contents of a block, with zeros past the end of the file.
  struct Version {
    var tick: UInt64
    var bytes: [UInt8]
  }

  /// The file was truncated or extended to a size by a client's operation.
  struct Cut {
    var tick: UInt64
    var position: Int
    var size: UInt64
  }

  private(set) var sizes: [SizeChange] = []
  private(set) var versions: [UInt64: [Version]] = [:]
  private(set) var cuts: [Cut] = []
  /// The file's current contents; blocks of zeros may be missing.
  private var current: [UInt64: [UInt8]] = [:]
  /// Everything before this tick was synced.
  var syncedTick: UInt64 = 0
  /// If a client's operation is durable, everything before a tick is too: as when a rename replaces a file.
  private(set) var promises: [(position: Int, tick: UInt64)] = []

  init(tick: UInt64, position: Int, moment: Moment) {
    sizes.append(SizeChange(tick: tick, position: position, size: 0, modified: moment))
  }

  var size: UInt64 { sizes.last?.size ?? 0 }
  var modified: Moment? { sizes.last?.modified }

  // MARK: Changes

  /// A state to go back to when an operation fails.
  struct Memento {
    fileprivate var sizes: [SizeChange]
    fileprivate var versions: [UInt64: [Version]]
    fileprivate var cuts: [Cut]
    fileprivate var current: [UInt64: [UInt8]]
    fileprivate var promises: [(position: Int, tick: UInt64)]
  }

  var memento: Memento {
    Memento(sizes: sizes, versions: versions, cuts: cuts, current: current, promises: promises)
  }

  func restore(_ memento: Memento) {
    sizes = memento.sizes
    versions = memento.versions
    cuts = memento.cuts
    current = memento.current
    promises = memento.promises
  }

  func write(_ bytes: [UInt8], at offset: UInt64, tick: UInt64, moment: Moment) {
    put(offset: offset, count: UInt64(bytes.count), tick: tick) { bytes[$0] }
    resize(max(size, offset + UInt64(bytes.count)), tick: tick, moment: moment)
  }

  /// Makes a range zeros without changing the size; a hole and written zeros are the same.
  func clear(_ offset: UInt64, count: UInt64, tick: UInt64, moment: Moment) {
    let end = min(offset + count, size)
    if offset < end { put(offset: offset, count: end - offset, tick: tick) { _ in 0 } }
    resize(size, tick: tick, moment: moment)
  }

  /// Records a size that a write or fallocate has set.
  func resize(_ size: UInt64, tick: UInt64, moment: Moment) {
    sizes.append(SizeChange(tick: tick, position: nil, size: size, modified: moment))
  }

  /// Extends the file to a size that recovery may give it without any of the data written before.
  func mayResize(_ size: UInt64, tick: UInt64, moment: Moment) {
    let now = self.size
    sizes.append(SizeChange(tick: tick, position: nil, size: size, modified: moment, isBare: true))
    if now > size { resize(now, tick: tick, moment: moment) }
  }

  /// Truncates or extends the file.
  func cut(to size: UInt64, tick: UInt64, position: Int, moment: Moment) {
    let block = size / UInt64(Page.size)
    let inside = Int(size % UInt64(Page.size))
    for index in current.keys where index > block || (index == block && inside == 0) { current[index] = nil }
    if inside > 0, var bytes = current[block] {
      for index in inside..<Page.size { bytes[index] = 0 }
      current[block] = bytes
    }
    cuts.append(Cut(tick: tick, position: position, size: size))
    sizes.append(SizeChange(tick: tick, position: position, size: size, modified: moment))
  }

  /// Records that an operation set the modification time.
  func touch(_ moment: Moment, tick: UInt64, position: Int) {
    sizes.append(SizeChange(tick: tick, position: position, size: size, modified: moment, setsSize: false))
  }

  /// Records that everything before `tick` is durable if operation `position` is.
  func promise(position: Int, tick: UInt64) { promises.append((position, tick)) }

  private func put(offset: UInt64, count: UInt64, tick: UInt64, _ byte: (Int) -> UInt8) {
    let end = offset + count
    var place = offset
    while place < end {
      let block = place / UInt64(Page.size)
      let first = Int(place % UInt64(Page.size))
      let last = Int(min(end - block * UInt64(Page.size), UInt64(Page.size)))
      var bytes = current[block] ?? [UInt8](repeating: 0, count: Page.size)
      let source = Int(place - offset)
      for index in first..<last { bytes[index] = byte(source + index - first) }
      current[block] = bytes
      versions[block, default: []].append(Version(tick: tick, bytes: bytes))
      place = (block + 1) * UInt64(Page.size)
    }
  }

  // MARK: What it contains now

  /// What a read returns.
  func read(_ offset: UInt64, count: UInt64) -> [UInt8] {
    guard offset < size else { return [] }
    let end = min(offset + count, size)
    var result: [UInt8] = []
    result.reserveCapacity(Int(end - offset))
    var place = offset
    while place < end {
      let block = place / UInt64(Page.size)
      let first = Int(place % UInt64(Page.size))
      let last = Int(min(end - block * UInt64(Page.size), UInt64(Page.size)))
      if let bytes = current[block] {
        result += bytes[first..<last]
      } else {
        result += repeatElement(0, count: last - first)
      }
      place = (block + 1) * UInt64(Page.size)
    }
    return result
  }
}
