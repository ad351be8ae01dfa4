import BlockProtocol
import FileProtocol
import Format

/// What went wrong: counted on the device, told to people, and, where nothing can be written any more, the
/// end of writing.
///
/// Owns the error record, the messages that wait to be told, and the write of the record under way. It
/// promises that each damaged block is told of once, that no flood of messages is told, and that the record
/// reaches the device within a second.
final class Errors {
  private let cache: Cache
  private let event: Event
  private let effects: Effects
  private let condition: Condition
  private let volume: Volume
  private var account = ErrorAccount()
  /// Messages for people, oldest first, which the daemon takes.
  private(set) var notices: [String] = []
  /// Messages about an inode that wait for its path, oldest first. Few are told in a minute; see
  /// `ErrorAccount`.
  private(set) var withoutPath: [Message] = []
  /// The frame that the record is being written from; none otherwise.
  private var frame = FrameIndex.none
  /// Called when nothing can be written any more, with the reason.
  var onFailure: (String) -> Void = { _ in }

  /// A message about an inode.
  struct Message {
    let text: String
    let inode: UInt64
  }

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

  /// Something went wrong that an administrator should know of, and fsck.varve look for.
  /// - Parameter place: names what is damaged, so that it is told of once; nil for what may happen again.
  func record(
    _ kind: ErrorRecord.Kind, _ message: String, block: UInt64 = 0, inode: UInt64 = 0, code: Int32 = 0,
    place: UInt64? = nil
  ) {
    let error = ErrorRecord.Event(kind, time: event.now.realtime, block: block, inode: inode, code: code)
    for text in account.add(error, message, place: place, now: event.now.monotonic) {
      tell(text, inode: inode)
    }
  }

  /// The filesystem can only be read from now on: what it acknowledged is on the device as far as it was
  /// synced.
  func fail(_ reason: String, _ kind: ErrorRecord.Kind = .checksum, _ code: Int32 = 0) {
    guard !condition.hasFailed else { return }
    condition.setFailed()
    record(kind, reason + "; the filesystem is read-only now", code: code)
    onFailure(reason)
  }

  /// Too few segments are free to go on: fsck can make some free.
  func failForWantOfSegments(_ what: String) {
    condition.setLackOfSegments()
    fail(what)
    if !condition.isReady { condition.refuse(what + "; run fsck.varve -y") }
  }

  /// A count or a state in memory contradicts another: nothing more is written, so that what is wrong stays
  /// in memory.
  @inline(never)
  func contradiction(_ what: String) { fail("\(what) in memory is wrong; unmount, and run fsck.varve") }

  /// Has a message about an inode told: with its path as soon as that is known.
  private func tell(_ text: String, inode: UInt64) {
    guard inode != 0, condition.isReady, !condition.isStopping else { return notices.append(text) }
    withoutPath.append(Message(text: text, inode: inode))
  }

  /// The path of the inode that the first message is about was found, or cannot be.
  func tellFirst(path: String?) {
    guard !withoutPath.isEmpty else { return }
    let message = withoutPath.removeFirst()
    notices.append(path.map { "\($0): \(message.text)" } ?? message.text)
  }

  // MARK: On the device

  /// What went wrong since the last check in full.
  var errorRecord: ErrorRecord { account.record }

  /// Takes over the record as it was read from the device.
  func load(_ page: Page, isReadable: Bool) {
    account.record = ErrorRecord(decoding: page, checksum: volume.checksum)
    account.isKnown = isReadable
  }

  /// The record with a mount that was refused; nil where there is none, or it must not be written.
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

  /// Whether the device has the record as it is, and no write of it is under way.
  var isWritten: Bool { frame == .none }

  /// Writes the record where it has changed, once a second at most, and at the end. It is written too when
  /// the filesystem has become read-only by an error, which is what it is for.
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
    effects.commands.append(
      BlockCommand(
        .write, block: block, count: 1, frames: cache.run(from: buffer), forceUnitAccess: true,
        tag: Tag(.errorRecord).raw))
  }

  /// The record was written, or could not be: then the device has worse to be told of.
  func recordWritten() {
    cache.giveBack(frame)
    frame = .none
  }
}
