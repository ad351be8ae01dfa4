/// A command on a device of 4 KiB blocks.
///
/// Data lies in frames of the device's arena, one frame a block, which need not be contiguous. The frame list
/// must stay valid until the command has completed.
public struct BlockCommand {
  /// Bytes of a block, and of the frame that holds one.
  public static let blockSize = 4096

  public enum Operation: UInt8, Sendable {
    case read, write, flush, discard, writeZeroes
    /// The device reads the blocks, checks them as far as it can, and transfers nothing.
    case verify
    /// The device compares its blocks with those of the frames; where they differ the command ends with
    /// ENODATA, Linux' errno for Compare Failure, and `NamespaceDevice.errors` has that status.
    case compare
  }

  public var operation: Operation
  /// For a write: durable when it completes (FUA).
  public var forceUnitAccess: Bool
  /// The command's number in a trace, below 2^30; 0 while no trace is taken. The completion returns it.
  public var number: UInt32 = 0
  /// The first block, in 4 KiB units from the start of the namespace.
  public var block: UInt64
  /// The number of 4 KiB blocks; any number, as the device splits the command.
  public var count: UInt32
  /// `count` frame numbers for read, write and compare; unused otherwise.
  public var frames: UnsafePointer<UInt32>?
  /// The submitter's value, returned in the completion.
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

/// The end of a `BlockCommand`: its tag, its number, and 0 or an errno (that of Linux' block layer).
public struct BlockCompletion {
  public var tag: UInt64
  public var errno: Int32
  public var number: UInt32

  public init(tag: UInt64, errno: Int32, number: UInt32 = 0) {
    self.tag = tag
    self.errno = errno
    self.number = number
  }
}
