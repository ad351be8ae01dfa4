import CMachine
import NVMeSpec
import PCI

/// Submitting commands.
extension QueuePair {
  /// Whether a command could be posted now.
  public var hasRoom: Bool { isOnline && !trackers.isExhausted }

  /// Whether commands were posted since the last doorbell.
  @inlinable @inline(__always)
  var hasUnrung: Bool { tail != rungTail }

  /// Puts a read, a write or a compare into the submission queue.
  /// - Parameters:
  ///   - opcode: Read, Write or Compare.
  ///   - namespace: the namespace identifier.
  ///   - lba: the first logical block.
  ///   - lbaCount: the number of logical blocks, 1...65,536.
  ///   - forceUnitAccess: the data is to be on the medium at completion (FUA).
  ///   - frames: the arena frames that hold the data, at least one, no more than the list pages have room
  ///     for.
  ///   - count: how many frames.
  ///   - base: the address of the arena's frame 0 for the device.
  ///   - context: returned with the command's end.
  /// - Returns: false when there is no room.
  @inlinable
  public mutating func postTransfer(
    _ opcode: IOOpcode, namespace: UInt32, lba: UInt64, lbaCount: UInt32, forceUnitAccess: Bool,
    frames: UnsafePointer<UInt32>, count: Int, base: UInt64, context: UInt64
  ) -> Bool {
    guard isOnline, let tracker = trackers.take() else { return false }
    var command = SubmissionEntry(opcode, namespace: namespace, block: lba, count: lbaCount)
    command.forceUnitAccess = forceUnitAccess
    point(&command, of: tracker, at: frames, count: count, base: base)
    enqueue(command, tracker, context: context)
    return true
  }

  /// Puts any other command into the submission queue.
  /// - Parameters:
  ///   - command: the command; its command identifier is filled in.
  ///   - context: returned with the command's end.
  /// - Returns: the command's identifier, or nil when there is no room.
  @discardableResult
  public mutating func post(_ command: SubmissionEntry, context: UInt64) -> UInt16? {
    guard isOnline, let tracker = trackers.take() else { return nil }
    enqueue(command, tracker, context: context)
    return tracker.pointee.commandID
  }

  /// Puts a command whose data are the leading bytes of an arena into the submission queue.
  /// - Parameters:
  ///   - command: the command; its data pointer is filled in where there is data.
  ///   - count: how many bytes of data; no more than the list pages have room for.
  /// - Returns: false when there is no room.
  mutating func post(
    _ command: SubmissionEntry, leading count: Int, of arena: DMAArena, context: UInt64
  ) -> Bool {
    guard isOnline, let tracker = trackers.take() else { return false }
    var command = command
    let frames = (0..<UInt32((count + DMAArena.frameSize - 1) / DMAArena.frameSize)).map { $0 }
    if !frames.isEmpty {
      point(&command, of: tracker, at: frames, count: frames.count, base: arena.iova)
    }
    enqueue(command, tracker, context: context)
    return true
  }

  /// Puts a Dataset Management command that deallocates `ranges` into the submission queue.
  /// - Parameters:
  ///   - namespace: the namespace identifier.
  ///   - ranges: 1...256 ranges; copied.
  ///   - context: returned with the command's end.
  /// - Returns: false when there is no room.
  public mutating func postDeallocate(
    namespace: UInt32, ranges: UnsafeBufferPointer<DatasetManagementRange>, context: UInt64
  ) -> Bool {
    guard isOnline, !ranges.isEmpty, ranges.count <= DatasetManagementRange.limit,
      let tracker = trackers.take()
    else { return false }
    // The ranges go where the command's PRP list would: 256 of them are one page. Some devices always fetch
    // the whole page.
    let offset = listOffset(of: tracker)
    let page = UnsafeMutableRawBufferPointer(start: lists + offset, count: DMAArena.frameSize)
    page.copyMemory(from: UnsafeRawBufferPointer(ranges))
    var command = SubmissionEntry(deallocate: ranges.count, namespace: namespace)
    command.prp1 = listAddress(offset)
    enqueue(command, tracker, context: context)
    return true
  }

  /// Passes all posted commands to the controller with one doorbell.
  mutating func ring() {
    guard hasUnrung else { return }
    if isBuffered {
      counts.bufferedCommands &+= tail &- rungTail
      // Stores to a BAR may be write-combined; they have to arrive before the doorbell.
      cm_full_fence()
    }
    rungTail = tail
    if tailDoorbell.ring(index(tail)) {
      counts.submissionDoorbells &+= 1
    } else {
      counts.savedDoorbells &+= 1
    }
  }

  // MARK: Building

  /// Where a command's list pages begin, in entries from `lists`.
  @inlinable @inline(__always)
  func listOffset(of tracker: UnsafeMutablePointer<Tracker>) -> Int {
    trackers.index(of: tracker.pointee.commandID) &* listEntries
  }

  /// The address for the device of the list page `offset` entries from `lists`.
  @inlinable @inline(__always)
  func listAddress(_ offset: Int) -> UInt64 {
    listsAddress &+ UInt64(truncatingIfNeeded: offset &* PRP.entrySize)
  }

  /// Fills in a command's data pointer.
  @inlinable @inline(__always)
  mutating func point(
    _ command: inout SubmissionEntry, of tracker: UnsafeMutablePointer<Tracker>,
    at frames: UnsafePointer<UInt32>, count: Int, base: UInt64
  ) {
    if count > 2 { return pointMany(&command, of: tracker, at: frames, count: count, base: base) }
    command.prp1 = PRPList.address(frames[0], base)
    if count == 2 { command.prp2 = PRPList.address(frames[1], base) }
  }

  /// Puts a new command into the submission queue, and keeps a copy for a retry.
  @inlinable @inline(__always)
  mutating func enqueue(
    _ command: SubmissionEntry, _ tracker: UnsafeMutablePointer<Tracker>, context: UInt64
  ) {
    var command = command
    command.commandIdentifier = tracker.pointee.commandID
    tracker.pointee.command = command
    tracker.pointee.context = context
    put(command, tracker)
  }

  /// Puts a command into the submission queue.
  @inlinable @inline(__always)
  mutating func put(_ command: SubmissionEntry, _ tracker: UnsafeMutablePointer<Tracker>) {
    if tail == rungTail { readClock() }
    tracker.pointee.time = now
    submission[Int(index(tail))] = command
    tail &+= 1
  }
}
