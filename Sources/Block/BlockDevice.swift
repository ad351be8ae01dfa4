import PCI

/// A command on a device of 4 KiB blocks.
///
/// Data lies in frames of the device's arena, one frame a block, which need not be contiguous. The frame list must
/// stay valid until the command has completed.
public struct BlockCommand {
  public enum Operation: UInt8, Sendable {
    case read, write, flush, discard, writeZeroes
    /// The device reads the blocks, checks them as far as it can, and transfers nothing.
    case verify
    /// The device compares its blocks with those of the frames; where they differ the command ends with ENODATA, as
    /// Linux has it of Compare Failure, and `NamespaceDevice.errors` names that status.
    case compare
  }

  public var operation: Operation
  /// For a write: durable when it completes (FUA).
  public var forceUnitAccess: Bool
  /// The first block, in 4 KiB units from the start of the namespace.
  public var block: UInt64
  /// The number of 4 KiB blocks; of any size, the device splits.
  public var count: UInt32
  /// `count` frame numbers for read, write and compare; unused otherwise.
  public var frames: UnsafePointer<UInt32>?
  /// Comes back with the completion.
  public var tag: UInt64

  public init(
    _ operation: Operation, block: UInt64 = 0, count: UInt32 = 0, frames: UnsafePointer<UInt32>? = nil,
    forceUnitAccess: Bool = false, tag: UInt64 = 0
  ) {
    self.operation = operation
    self.block = block
    self.count = count
    self.frames = frames
    self.forceUnitAccess = forceUnitAccess
    self.tag = tag
  }
}

/// The end of a `BlockCommand`: its tag and 0 or an errno (the block layer's, as Linux has it).
public struct BlockCompletion {
  public var tag: UInt64
  public var errno: Int32

  public init(tag: UInt64, errno: Int32) {
    self.tag = tag
    self.errno = errno
  }
}

/// A namespace as 4 KiB blocks. Owned by one thread.
public protocol BlockDevice: AnyObject {
  /// What a person calls it.
  var name: String { get }
  /// The size in 4 KiB blocks.
  var blockCount: UInt64 { get }
  /// Whether every write ends with an error, because the namespace is write protected.
  var isWriteProtected: Bool { get }
  /// Whether completed writes may be lost at a power cut until a flush.
  var hasVolatileCache: Bool { get }
  /// Whether discard frees space on the device.
  var canDiscard: Bool { get }
  /// Whether the device can verify and compare; it ends such commands with EOPNOTSUPP otherwise.
  var canVerify: Bool { get }
  var canCompare: Bool { get }
  /// The memory that commands' frames lie in.
  var arena: DMAArena { get }

  /// Takes a command, or returns false when the device has no room for it now: poll, then try again.
  /// The device may hold back its doorbell until `ring` or `poll`.
  func submit(_ command: BlockCommand) -> Bool

  /// Tells the device of what was submitted.
  func ring()

  /// Appends completions that have arrived, at most `limit`, to `completions`. Never blocks.
  func poll(_ completions: inout [BlockCompletion], limit: Int)

  /// When the device wants `poll` called although no interrupt will come (ns, monotonic); `UInt64.max` for never.
  var nextDeadline: UInt64 { get }

  /// Arms the interrupt before the caller sleeps.
  /// - Returns: false when completions arrived meanwhile: poll instead.
  func prepareToSleep() -> Bool

  /// Readable when completions have arrived after `prepareToSleep`; nil where only polling works.
  var interruptDescriptor: Int32? { get }

  /// Readable when the device has something to say that is no completion, such as an event: `poll` takes it in. Nil
  /// where only polling works.
  var eventDescriptor: Int32? { get }

  /// Readable when the device is being taken away.
  var removalDescriptor: Int32? { get }

  /// What the device said of the last command that failed, with its status; nil where it says nothing.
  var lastFailure: String? { get }

  /// Shuts the device down in order and gives it back. Nothing may be in flight.
  func close()
}

extension BlockDevice {
  public var eventDescriptor: Int32? { nil }
  public var lastFailure: String? { nil }
  public var isWriteProtected: Bool { false }
  public var canVerify: Bool { false }
  public var canCompare: Bool { false }
}
