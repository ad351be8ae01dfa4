import BlockProtocol
import CMachine
import Glibc
import NVMeSpec

/// A block device for callers that wait: mkfs, fsck, and tools.
///
/// Data is copied through the device's first frames, so the device must not have another user at the same
/// time.
public final class SynchronousDevice {
  /// The size of a block in bytes.
  public static let blockSize = BlockCommand.blockSize

  /// The device underneath.
  public let device: any BlockDevice

  let frames: UnsafeMutablePointer<UInt32>
  /// The most blocks moved at a time: as many as the device has frames, and no more than 1 MiB.
  let chunk: Int

  /// Wraps a device that has no other user.
  public init(_ device: any BlockDevice) {
    self.device = device
    chunk = min(device.frameMemory.count / Self.blockSize, 256)
    frames = .allocate(capacity: chunk)
    for index in 0..<chunk { frames[index] = UInt32(truncatingIfNeeded: index) }
  }

  deinit { frames.deallocate() }

  /// The size in blocks of 4 KiB.
  public var blockCount: UInt64 { device.blockCount }

  /// Reads blocks.
  /// - Throws: the command's error.
  public func read(block: UInt64, count: Int) throws(BlockDeviceError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: max(count, 0) * Self.blockSize)
    var failure: BlockDeviceError?
    bytes.withUnsafeMutableBytes { buffer in
      do throws(BlockDeviceError) { try read(block: block, into: buffer) } catch { failure = error }
    }
    if let failure { throw failure }
    return bytes
  }

  /// Reads as many blocks as `buffer` holds; a remainder of the buffer is unchanged.
  /// - Throws: the command's error; the blocks read before it are in the buffer.
  public func read(block: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(BlockDeviceError) {
    try forEachChunk(block, buffer.count / Self.blockSize) {
      (first, offset, count) throws(BlockDeviceError) in
      try perform(BlockCommand(.read, block: first, count: UInt32(count), frames: UnsafePointer(frames)))
      let length = count * Self.blockSize
      UnsafeMutableRawBufferPointer(rebasing: buffer[offset..<offset + length])
        .copyMemory(from: UnsafeRawBufferPointer(rebasing: device.frameMemory[..<length]))
    }
  }

  /// Writes as many blocks as `bytes` holds; a remainder is not written.
  /// - Parameter forceUnitAccess: the blocks are durable at return.
  /// - Throws: the command's error; the blocks before it are written.
  public func write(
    block: UInt64, _ bytes: UnsafeRawBufferPointer, forceUnitAccess: Bool = false
  ) throws(BlockDeviceError) {
    try send(.write, block: block, bytes, forceUnitAccess: forceUnitAccess)
  }

  /// Writes as many blocks as `bytes` holds; a remainder is not written.
  public func write(
    block: UInt64, _ bytes: [UInt8], forceUnitAccess: Bool = false
  ) throws(BlockDeviceError) {
    var failure: BlockDeviceError?
    bytes.withUnsafeBytes { buffer in
      do throws(BlockDeviceError) {
        try write(block: block, buffer, forceUnitAccess: forceUnitAccess)
      } catch { failure = error }
    }
    if let failure { throw failure }
  }

  /// Makes all that was written durable.
  public func flush() throws(BlockDeviceError) { try perform(BlockCommand(.flush)) }

  /// Discards blocks; does nothing where the device does not support it.
  public func discard(block: UInt64, count: UInt64) throws(BlockDeviceError) {
    guard device.canDiscard else { return }
    try forEachPart(.discard, block, count)
  }

  /// Makes blocks read as zeros.
  public func writeZeroes(block: UInt64, count: UInt64) throws(BlockDeviceError) {
    try forEachPart(.writeZeroes, block, count)
  }

  /// Has the device check that blocks can be read and match their protection information; where it has no
  /// Verify, they are read.
  /// - Throws: the command's error, without saying which of its blocks failed.
  public func verify(block: UInt64, count: UInt64) throws(BlockDeviceError) {
    if device.canVerify { return try forEachPart(.verify, block, count) }
    var first = block
    let end = block &+ count
    while first < end {
      let part = min(UInt64(chunk), end - first)
      try perform(BlockCommand(.read, block: first, count: UInt32(part), frames: UnsafePointer(frames)))
      first += part
    }
  }

  /// Has the device compare its blocks with as many as `bytes` holds; a remainder is not compared.
  /// - Returns: whether they are the same.
  /// - Throws: the command's error; EOPNOTSUPP where the device cannot compare.
  public func compare(block: UInt64, _ bytes: [UInt8]) throws(BlockDeviceError) -> Bool {
    var failure: BlockDeviceError?
    bytes.withUnsafeBytes { buffer in
      do throws(BlockDeviceError) {
        try send(.compare, block: block, buffer)
      } catch { failure = error }
    }
    guard let failure else { return true }
    guard let namespace = device as? NamespaceDevice, failure.errno == ENODATA,
      namespace.errors.last?.status.code == .compareFailure
    else { throw failure }
    return false
  }

  /// Closes the device in order.
  public func close() { device.close() }

  /// Carries out a command that takes as many blocks as `bytes` holds.
  private func send(
    _ operation: BlockCommand.Operation, block: UInt64, _ bytes: UnsafeRawBufferPointer,
    forceUnitAccess: Bool = false
  ) throws(BlockDeviceError) {
    try forEachChunk(block, bytes.count / Self.blockSize) { (first, offset, count) throws(BlockDeviceError) in
      let length = count * Self.blockSize
      device.frameMemory.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + length]))
      try perform(
        BlockCommand(
          operation, block: first, count: UInt32(count), frames: UnsafePointer(frames),
          forceUnitAccess: forceUnitAccess))
    }
  }

  private func forEachPart(
    _ operation: BlockCommand.Operation, _ block: UInt64, _ count: UInt64
  ) throws(BlockDeviceError) {
    var first = block
    var remaining = count
    while remaining > 0 {
      let part = UInt32(truncatingIfNeeded: min(remaining, 1 << 20))
      try perform(BlockCommand(operation, block: first, count: part))
      first += UInt64(part)
      remaining -= UInt64(part)
    }
  }

  private func forEachChunk(
    _ block: UInt64, _ count: Int,
    _ body: (_ first: UInt64, _ offset: Int, _ count: Int) throws(BlockDeviceError) -> Void
  ) throws(BlockDeviceError) {
    var done = 0
    while done < count {
      let part = min(chunk, count - done)
      try body(block &+ UInt64(done), done * Self.blockSize, part)
      done += part
    }
  }

  // MARK: Waiting

  /// Carries out one command and waits for its end.
  private func perform(_ command: BlockCommand) throws(BlockDeviceError) {
    var completions: [BlockCompletion] = []
    while !device.submit(command) { device.poll(&completions, limit: 1) }
    device.ring()
    completions.removeAll()
    while true {
      device.poll(&completions, limit: 1)
      if let end = completions.first {
        guard end.errno == 0 else {
          throw BlockDeviceError(
            device.name,
            .command(command.operation, block: command.block, errno: end.errno, said: device.lastFailure))
        }
        return
      }
      sleep()
    }
  }

  /// Sleeps until the device has a completion or an event.
  func sleep() {
    guard device.prepareToSleep() else { return }
    let now = cm_monotonic_ns()
    let deadline = device.nextDeadline
    guard deadline > now else { return }
    let millisecond: UInt64 = 1_000_000
    if let descriptor = device.interruptDescriptor, deadline - now >= millisecond {
      var watched = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
      poll(&watched, 1, Int32(truncatingIfNeeded: min((deadline - now) / millisecond, 1_000)))
    } else {
      // A device without interrupts is polled every 50 us.
      let length = min(deadline - now, device.interruptDescriptor == nil ? 50_000 : millisecond)
      var time = timespec(tv_sec: 0, tv_nsec: Int(length))
      nanosleep(&time, nil)
    }
  }
}
