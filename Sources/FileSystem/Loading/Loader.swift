import BlockProtocol
import FileProtocol
import Format
import Glibc

/// Finding blocks in memory, and reading those that are not there.
///
/// Owns nothing but counts: what is being read is in the cache, and who waits for it in `Waiting`. It
/// promises that a block which is found has matched its checksum when it was read, and that a request or job
/// which waits for one runs again.
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

  /// A block that could not be read is an error for those who waited for it. It is read again for those who
  /// ask later.
  func forgetFailure(_ frame: FrameIndex) throws(Stop) {
    guard cache[frame].pins == 0 else { throw .fail(EIO) }
    cache.drop(frame)
  }

  /// Begins to read a block that is not in memory; the request or job that runs waits for it. What is still
  /// on its way to the device is there at once.
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
    effects.commands.append(
      BlockCommand(
        .read, block: address, count: 1, frames: cache.run(from: frame), tag: Tag(.load, UInt64(frame)).raw))
    throw waiting.wait(for: frame)
  }

  /// A block that `load` asked for has arrived, or not.
  /// - Returns: whether it is there. `wake` comes next.
  func arrived(_ frame: FrameIndex, _ code: Int32) -> Bool {
    guard case .loading(let expected) = cache[frame].state else { return false }
    event.count(Work.checksum)
    let matches = code == 0 && volume.checksum.of(cache.page(frame)) == expected
    if code == 0, !matches { mismatches += 1 }
    if !matches { recordUnreadable(frame, code) }
    cache.endLoading(frame, isGood: matches)
    return matches
  }

  /// Those that waited for a block go on.
  func wake(_ frame: FrameIndex) {
    // What is no longer wanted was only kept for the command.
    let isWanted = cache[frame].state != .buffer
    waiting.readEnded(frame, pinning: isWanted)
    if !isWanted { cache.giveBack(frame) }
  }

  private func recordUnreadable(_ frame: FrameIndex, _ code: Int32) {
    let (key, index) = (cache[frame].key, cache[frame].index)
    let what = key.kind == .data ? "block \(index) of inode \(key.number)" : "\(key.kind) \(key.number)"
    errors.record(
      code == 0 ? .checksum : .read,
      code == 0 ? "checksum error: \(what)" : "\(what) cannot be read\(ErrnoText.inBrackets(code))",
      inode: concernedInode(frame, key), code: code, place: key.raw ^ index << 24)
  }

  /// The inode that a block belongs to: of a node, what the first request that waits for it is about. 0 where
  /// that is not known.
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

  /// A block that a file's read brought into its slot did not match.
  func countMismatch() { mismatches += 1 }

  /// A block in memory holds what it must not: it came so from the device, or has been changed since its
  /// checksum was found right.
  @inline(never)
  func damaged(_ page: Page) -> Stop {
    let key = cache[cache.frame(of: page)].key
    errors.record(
      .checksum, "\(key.kind) \(key.number) holds what it must not",
      inode: key.kind == .inode ? key.number : 0, place: key.raw)
    return .fail(EIO)
  }
}
