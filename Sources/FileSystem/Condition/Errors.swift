import BlockProtocol
import FileProtocol
import Format

/// Counts errors in the record on the device, reports them in messages, and ends writing after an error that
/// makes it impossible.
///
/// Owns the error record, the messages not yet taken or still without a path, and the write of the record
/// under way. It promises that each damaged block is reported once, that at most 20 messages a minute are
/// reported, and that the record is written within a second.
final class Errors {
  private let cache: Cache
  private let event: Event
  private let effects: Effects
  private let condition: Condition
  private let volume: Volume
  private var account = ErrorAccount()
  /// Messages for the system log, oldest first; the daemon takes them.
  private(set) var notices: [String] = []
  /// Messages about an inode whose path `PathFinder` still has to find, oldest first. They are few, because
  /// `ErrorAccount` limits their rate.
  private(set) var withoutPath: [Message] = []
  /// The frame from which the record is being written; `none` when it is not.
  private var frame = FrameIndex.none
  /// What the device said of the last failed command on any of these blocks, or of the last failed flush where
  /// there are none; nil where nothing is known. Only messages depend on it.
  var deviceStatus: (_ blocks: Range<UInt64>?) -> String? = { _ in nil }
  /// Called with the reason when writing has ended.
  var onFailure: (String) -> Void = { _ in }

  /// A message about an inode.
  struct Message {
    let text: String
    let inode: UInt64
  }

  /// What was found to contradict in the current event.
  private var contradicted: String?

  init(cache: Cache, event: Event, effects: Effects, condition: Condition, volume: Volume) {
    self.cache = cache
    self.event = event
    self.effects = effects
    self.condition = condition
    self.volume = volume
  }

  // MARK: Recording

  /// People are to be told something that is no error of the filesystem's.
  func notify(_ message: String) { notices.append(message) }

  /// The daemon has told these messages, or tells others itself.
  func setNotices(_ notices: [String]) { self.notices = notices }

  /// Records and reports an error that an administrator should know of and fsck.varve look for.
  /// - Parameters:
  ///   - block: the first of the device's blocks that it is about; 0 where it is about none.
  ///   - count: how many.
  ///   - code: the errno of the device's command; 0 where no command has failed.
  ///   - place: identifies the damaged block, so that it is reported once; nil to report each time.
  func record(
    _ kind: ErrorRecord.Kind, _ message: String, block: UInt64 = 0, count: Int = 1, inode: UInt64 = 0,
    code: Int32 = 0, place: UInt64? = nil
  ) {
    let error = ErrorRecord.Event(kind, time: event.now.realtime, block: block, inode: inode, code: code)
    let whole = message + location(block, count, kind == .checksum ? 0 : code)
    for text in account.add(error, whole, place: place, now: event.now.monotonic) {
      tell(text, inode: inode)
    }
  }

  /// The block of a message and what the device said about it, in brackets; empty where neither is known.
  private func location(_ block: UInt64, _ count: Int, _ code: Int32) -> String {
    let blocks = block == 0 ? nil : block..<block &+ UInt64(max(count, 1))
    let place = blocks.map { count > 1 ? "blocks \(block) + \(count)" : "block \($0.lowerBound)" }
    let parts = [place, code == 0 ? nil : deviceStatus(blocks)].compactMap(\.self)
    return parts.isEmpty ? "" : " [\(parts.joined(separator: ", "))]"
  }

  /// Makes the filesystem read-only for good after an error. What was synced is on the device.
  func fail(
    _ reason: String, _ kind: ErrorRecord.Kind = .checksum, block: UInt64 = 0, count: Int = 1,
    code: Int32 = 0
  ) {
    guard !condition.hasFailed else { return }
    condition.setFailed()
    record(kind, reason + "; the filesystem is read-only now", block: block, count: count, code: code)
    onFailure(reason)
  }

  /// Ends writing, or refuses the mount, because too few segments are free; fsck.varve can free some.
  func failForWantOfSegments(_ what: String) {
    condition.setLackOfSegments()
    fail(what)
    if !condition.isReady { condition.refuse(what + "; run fsck.varve -y") }
  }

  /// Ends writing because a count or state in memory contradicts another, so that the wrong value never
  /// reaches the device.
  ///
  /// Writing ends with the event: the code that found it may be in the midst of a change.
  @inline(never)
  func contradiction(_ what: String) { contradicted = contradicted ?? what }

  /// The event is over: ends writing where a contradiction was found in it.
  @inline(__always)
  func endEvent() { if contradicted != nil { failForContradiction() } }

  private func failForContradiction() {
    guard let what = contradicted else { return }
    contradicted = nil
    fail("\(what) in memory is wrong; unmount, and run fsck.varve")
  }

  /// Reports a message; one about an inode waits until its path has been found.
  private func tell(_ text: String, inode: UInt64) {
    guard inode != 0, condition.isReady, !condition.isStopping else { return notices.append(text) }
    withoutPath.append(Message(text: text, inode: inode))
  }

  /// Reports the first message that waits for a path: with the path, or without one when none can be found.
  func tellFirst(path: String?) {
    guard !withoutPath.isEmpty else { return }
    let message = withoutPath.removeFirst()
    notices.append(path.map { "\($0): \(message.text)" } ?? message.text)
  }

  // MARK: On the device

  /// The errors since the last full check.
  var errorRecord: ErrorRecord { account.record }

  /// Takes over the record as read from the device.
  func load(_ page: Page, isReadable: Bool) {
    account.record = ErrorRecord(decoding: page, checksum: volume.checksum)
    account.isKnown = isReadable
  }

  /// After a refused mount: the record with that mount counted; nil where there is none, or it must not be
  /// written.
  var recordOfRefusal: (block: UInt64, bytes: [UInt8])? {
    guard condition.failure != nil, account.isKnown, !condition.isMountedReadOnly,
      let superblock = volume.superblock,
      let block = superblock.geometry.errorBlock, block < volume.blockCount
    else { return nil }
    var record = account.record
    record.add(ErrorRecord.Event(.mount, time: event.now.realtime))
    var bytes = [UInt8](repeating: 0, count: Page.size)
    bytes.withUnsafeMutableBytes { buffer in
      if let base = buffer.baseAddress { record.encode(into: Page(base), checksum: volume.checksum) }
    }
    return (block, bytes)
  }

  /// Whether no write of the record is under way.
  var isWritten: Bool { frame == .none }

  /// Writes the record if it has changed: at most once a second, and at the end. It is also written when an
  /// error has made the filesystem read-only, since that error is what it has to record.
  func writeRecord() {
    guard account.isDirty, frame == .none, let block = volume.geometry.errorBlock,
      !condition.isMountedReadOnly,
      condition.isStopping || event.now.monotonic >= account.nextWrite, cache.reserve(1)
    else { return }
    let buffer = cache.takeBuffer()
    guard buffer != .none else { return }
    account.record.encode(into: cache.page(buffer), checksum: volume.checksum)
    account.isDirty = false
    frame = buffer
    account.nextWrite = event.now.monotonic &+ ErrorAccount.interval
    effects.submit(
      BlockCommand(
        .write, block: block, count: 1, frames: cache.run(from: buffer), forceUnitAccess: true,
        tag: Tag(.errorRecord).raw))
  }

  /// The write of the record has ended. A failure is ignored: the error it was to record is reported anyway.
  func recordWritten() {
    cache.giveBack(frame)
    frame = .none
  }
}
