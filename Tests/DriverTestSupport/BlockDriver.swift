import Block
import BlockProtocol

/// Submits commands to a block device and waits for their ends, advancing a machine's clock as far as needed.
public final class BlockDriver {
  public let device: NamespaceDevice
  private let time: TestTime
  private var frameLists: [UnsafeMutablePointer<UInt32>] = []
  /// The ends so far, by tag.
  public private(set) var ends: [UInt64: Int32] = [:]
  private var submitted: UInt64 = 0

  public init(_ device: NamespaceDevice, _ time: TestTime) {
    self.device = device
    self.time = time
  }

  deinit { for list in frameLists { list.deallocate() } }

  /// Submits a command without waiting.
  /// - Returns: its tag, or nil when the device had no room.
  public func submit(
    _ operation: BlockCommand.Operation, block: UInt64 = 0, count: UInt32 = 0, frames: [UInt32] = [],
    forceUnitAccess: Bool = false
  ) -> UInt64? {
    let list = UnsafeMutablePointer<UInt32>.allocate(capacity: max(frames.count, 1))
    for (index, frame) in frames.enumerated() { list[index] = frame }
    frameLists.append(list)
    let command = BlockCommand(
      operation, block: block, count: count, frames: frames.isEmpty ? nil : UnsafePointer(list),
      forceUnitAccess: forceUnitAccess, tag: submitted)
    guard device.submit(command) else { return nil }
    submitted += 1
    return submitted - 1
  }

  /// Collects ends once.
  public func poll(limit: Int = 64) {
    var completions: [BlockCompletion] = []
    device.poll(&completions, limit: limit)
    for completion in completions { ends[completion.tag] = completion.errno }
  }

  /// Polls until everything submitted has ended, advancing the time to the device's next deadline whenever it
  /// has no completion.
  /// - Returns: false when some commands would never have ended.
  @discardableResult
  public func drain() -> Bool {
    device.ring()
    for _ in 0..<100_000 {
      poll()
      if UInt64(ends.count) == submitted { return true }
      guard device.prepareToSleep() else { continue }
      let deadline = device.nextDeadline
      if deadline == .max { return false }
      if deadline > time.now { time.now = deadline }
    }
    return false
  }

  /// Submits a command and waits for its end.
  /// - Returns: its errno; nil when it never ended.
  public func run(
    _ operation: BlockCommand.Operation, block: UInt64 = 0, count: UInt32 = 0, frames: [UInt32] = [],
    forceUnitAccess: Bool = false
  ) -> Int32? {
    guard
      let tag = submit(
        operation, block: block, count: count, frames: frames, forceUnitAccess: forceUnitAccess)
    else { return nil }
    drain()
    return ends[tag]
  }
}
