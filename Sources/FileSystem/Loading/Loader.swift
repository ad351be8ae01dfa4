import BlockProtocol
import FileProtocol
import Format
import Glibc

/// Finding blocks in memory, and reading those that are not there.
///
/// Owns counters, and which block is being read into which frame: the cache holds these frames, and `Waiting`
/// the requests and jobs that wait for them. It promises that a block found in memory matched its checksum
/// when it was read, and that a request or job that waits for a block is run again when the read has ended,
/// with or without an error.
final class Loader {
  private let cache: Cache
  private let event: Event
  private let waiting: Waiting
  private let effects: Effects
  private let volume: Volume
  private let errors: Errors
  private let requests: RequestSlots
  private let writes: LogWrites
  /// Blocks read, and those of them that did not match.
  private(set) var reads: UInt64 = 0
  private(set) var mismatches: UInt64 = 0
  /// The block being read into each frame.
  private var addresses: [FrameIndex: UInt64] = [:]

  init(
    cache: Cache, event: Event, waiting: Waiting, effects: Effects, volume: Volume, errors: Errors,
    requests: RequestSlots, writes: LogWrites
  ) {
    self.cache = cache
    self.event = event
    self.waiting = waiting
    self.effects = effects
    self.volume = volume
    self.errors = errors
    self.requests = requests
    self.writes = writes
  }

  /// The block for `key` when it is in memory; nil when it has to be loaded.
  @inline(__always)
  func cached(_ key: NodeKey) throws(Stop) -> Page? {
    let frame = cache.find(key)
    event.count(Work.frame)
    guard frame != .none else { return nil }
    guard case .node = cache[frame].state else { return try waitOrForget(frame) }
    try waiting.countFound(frame)
    cache.touch(frame)
    return cache.page(frame)
  }

  @inline(never)
  private func waitOrForget(_ frame: FrameIndex) throws(Stop) -> Page? {
    if cache[frame].isLoading { throw waiting.wait(for: frame) }
    try forgetFailure(frame)
    return nil
  }

  /// Drops a block that could not be read. The requests and jobs that waited for it (they pin it) get EIO;
  /// later ones read it again.
  func forgetFailure(_ frame: FrameIndex) throws(Stop) {
    guard cache[frame].pins == 0 else { throw .fail(EIO) }
    cache.drop(frame)
  }

  /// Begins to read a block that is not in memory; the running request or job waits for it. A node that is
  /// still on its way to the device is copied from the log write instead, without waiting.
  func load(_ key: NodeKey, index: UInt64 = 0, address: UInt64, checksum expected: UInt32) throws(Stop)
    -> Page
  {
    guard volume.geometry.segment(of: address) != nil else { throw .fail(EIO) }
    let frame = cache.insert(key, index, loading: expected)
    guard frame != .none else { throw .again(.memory) }
    if let written = writes.nodeBeingWritten(at: address) {
      cache.endLoading(frame, isGood: true)
      cache.page(frame).copy(written, at: 0)
      return cache.page(frame)
    }
    reads += 1
    addresses[frame] = address
    effects.submit(
      BlockCommand(
        .read, block: address, count: 1, frames: cache.run(from: frame), tag: Tag(.load, UInt64(frame)).raw))
    throw waiting.wait(for: frame)
  }

  /// A read begun by `load` has ended. The caller calls `wake` next.
  /// - Returns: whether the block is good.
  func arrived(_ frame: FrameIndex, _ code: Int32) -> Bool {
    let address = addresses.removeValue(forKey: frame) ?? 0
    guard case .loading(let expected) = cache[frame].state else { return false }
    event.count(Work.checksum)
    let matches = code == 0 && volume.checksum.of(cache.page(frame)) == expected
    if code == 0, !matches { mismatches += 1 }
    if !matches { recordUnreadable(frame, at: address, code) }
    cache.endLoading(frame, isGood: matches)
    return matches
  }

  /// Wakes the requests and jobs that wait for a block.
  func wake(_ frame: FrameIndex) {
    // A frame detached meanwhile (`Cache.detach`) was kept for the read command only.
    let isWanted = cache[frame].state != .buffer
    waiting.readEnded(frame, pinning: isWanted)
    if !isWanted { cache.giveBack(frame) }
  }

  private func recordUnreadable(_ frame: FrameIndex, at address: UInt64, _ code: Int32) {
    let (key, index) = (cache[frame].key, cache[frame].index)
    let what = key.kind == .data ? "block \(index) of inode \(key.number)" : "\(key.kind) \(key.number)"
    errors.record(
      code == 0 ? .checksum : .read,
      code == 0 ? "checksum error: \(what)" : "\(what) cannot be read\(ErrnoText.inBrackets(code))",
      block: address, inode: concernedInode(frame, key), code: code, place: key.raw ^ index << 24)
  }

  /// The inode that a message about an unreadable block is about: for an internal node, the inode of the
  /// first request that waits for it. 0 where it is not known.
  private func concernedInode(_ frame: FrameIndex, _ key: NodeKey) -> UInt64 {
    switch key.kind {
    case .data, .inode: return key.number
    case .internalNode:
      guard let slot = waiting.firstRequest(waitingFor: frame) else { return 0 }
      let isAboutTwo = [.rename, .link].contains(requests.requests[slot].operation)
      return isAboutTwo ? 0 : NodeID(raw: requests.requests[slot].node).number
    default: return 0
    }
  }

  /// Counts a checksum mismatch in a block read straight into a request's slot.
  func countMismatch() { mismatches += 1 }

  /// Reports a block in memory whose contents are impossible, although its checksum matched: it was written
  /// so, or a device has changed the memory since.
  @inline(never)
  func damaged(_ page: Page) -> Stop {
    let key = cache[cache.frame(of: page)].key
    errors.record(
      .checksum, "\(key.kind) \(key.number) holds impossible values",
      inode: key.kind == .inode ? key.number : 0, place: key.raw)
    return .fail(EIO)
  }
}
