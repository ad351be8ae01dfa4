import BlockProtocol
import Format

/// What went wrong since the filesystem was last checked in full: kept on the device, and told to people without flooding
/// them.
struct ErrorAccount {
  /// As it is, or will be, on the device.
  var record = ErrorRecord()
  /// Whether it was read from the device.
  var isKnown = false
  /// Whether the device does not have it yet.
  var isDirty = false
  /// The frame that is being written from; none otherwise.
  var frame = FrameIndex.none
  /// When it may be written next (ns, monotonic).
  var nextWrite: UInt64 = 0

  /// What has been told of, each damaged block once: as many as are kept.
  private var told: Set<UInt64> = []
  private static let toldLimit = 4096
  /// Messages of the present span of time, and those that were left out of it.
  private var messages = 0
  private var leftOut = 0
  private var spanEnd: UInt64 = 0
  private static let messagesPerSpan = 20
  private static let span: UInt64 = 60_000_000_000
  /// How often the record is written at most (ns).
  static let interval: UInt64 = 1_000_000_000

  /// Counts an error, and says what is to be told of it.
  /// - Parameters:
  ///   - place: names what is damaged, so that it is told of once; nil for what may happen again.
  ///   - now: ns, monotonic.
  mutating func add(_ event: ErrorRecord.Event, _ message: String, place: UInt64?, now: UInt64) -> [String] {
    record.add(event)
    isDirty = true
    if let place {
      if told.count == Self.toldLimit { told.removeAll(keepingCapacity: true) }
      guard told.insert(place).inserted else { return [] }
    }
    var messages: [String] = []
    if now >= spanEnd {
      if leftOut > 0 { messages.append("\(leftOut) more errors were not told of; varve stat counts all") }
      (self.messages, leftOut, spanEnd) = (0, 0, now &+ Self.span)
    }
    if self.messages < Self.messagesPerSpan {
      self.messages += 1
      messages.append(message)
    } else {
      leftOut += 1
    }
    return messages
  }
}

extension FileSystem {
  /// Something went wrong that an administrator should know of, and fsck.varve look for.
  func noteError(
    _ kind: ErrorRecord.Kind, _ message: String, block: UInt64 = 0, inode: UInt64 = 0, code: Int32 = 0,
    place: UInt64? = nil
  ) {
    let event = ErrorRecord.Event(kind, time: now.realtime, block: block, inode: inode, code: code)
    for text in errors.add(event, message, place: place, now: now.monotonic) { tell(text, inode: inode) }
  }

  /// What went wrong since the last check in full.
  public var errorRecord: ErrorRecord { errors.record }

  /// The record with a mount that was refused, to be written by whoever has the device now; nil where there is none, or it must not be
  /// written.
  public var recordOfRefusal: (block: UInt64, bytes: [UInt8])? {
    guard failure != nil, errors.isKnown, !isMountedReadOnly, let superblock,
      let block = superblock.geometry.errorBlock, block < deviceBlocks
    else { return nil }
    var record = errors.record
    record.add(ErrorRecord.Event(.mount, time: now.realtime))
    var bytes = [UInt8](repeating: 0, count: Page.size)
    bytes.withUnsafeMutableBytes { buffer in
      if let base = buffer.baseAddress { record.encode(into: Page(base), checksum: checksum) }
    }
    return (block, bytes)
  }

  /// Writes the record where it has changed, now and then, and at the end. It is written too when the filesystem has become
  /// read-only by an error, which is what it is for.
  func writeErrorRecord() {
    guard errors.isDirty, errors.frame == .none, let block = geometry.errorBlock, !isMountedReadOnly,
      isStopping || now.monotonic >= errors.nextWrite, cache.reserve(1)
    else { return }
    let frame = cache.takeBuffer()
    guard frame != .none else { return }
    errors.record.encode(into: cache.page(frame), checksum: checksum)
    errors.isDirty = false
    errors.frame = frame
    errors.nextWrite = now.monotonic &+ ErrorAccount.interval
    effects.commands.append(
      BlockCommand(
        .write, block: block, count: 1, frames: identity + Int(frame), forceUnitAccess: true,
        tag: Tag(.errorRecord).raw))
  }

  /// The record was written, or could not be: then the device has worse to be told of.
  func errorRecordWritten() {
    cache.giveBack(errors.frame)
    errors.frame = .none
  }
}
