/// A namespace as 4 KiB blocks. Owned by one thread.
public protocol BlockDevice: AnyObject {
  /// The name in messages.
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
  /// The memory of all frames that commands may name, in the order of their numbers.
  var frameMemory: UnsafeMutableRawBufferPointer { get }

  /// Accepts a command, or returns false when the device has no room for it now: poll, then try again. The
  /// device may delay its doorbell until `ring` or `poll`.
  func submit(_ command: BlockCommand) -> Bool

  /// Rings the doorbell for everything submitted.
  func ring()

  /// Appends completions that have arrived, at most `limit`, to `completions`. Never blocks.
  func poll(_ completions: inout [BlockCompletion], limit: Int)

  /// When `poll` has to be called although no interrupt will come (ns, monotonic); `UInt64.max` for never.
  var nextDeadline: UInt64 { get }

  /// Arms the interrupt before the caller sleeps.
  /// - Returns: false when completions arrived meanwhile: poll instead.
  func prepareToSleep() -> Bool

  /// Readable when completions have arrived after `prepareToSleep`; nil where only polling works.
  var interruptDescriptor: Int32? { get }

  /// Readable when the device has an event other than a completion, which `poll` handles. Nil where only
  /// polling works.
  var eventDescriptor: Int32? { get }

  /// Readable when the device is being removed.
  var removalDescriptor: Int32? { get }

  /// The device's description of the last failed command, with its status; nil where it has none.
  var lastFailure: String? { get }

  /// Shuts the device down in order and closes it. Nothing may be in flight.
  func close()
}

extension BlockDevice {
  public var eventDescriptor: Int32? { nil }
  public var lastFailure: String? { nil }
  public var isWriteProtected: Bool { false }
  public var canVerify: Bool { false }
  public var canCompare: Bool { false }
}
