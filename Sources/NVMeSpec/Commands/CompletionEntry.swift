/// A completion queue entry, 16 bytes, in its memory layout (Base 2.0, section 3.3.3.2).
public struct CompletionEntry: BitwiseCopyable, Hashable, Sendable {
  /// DW0: the command's result.
  public var result: UInt32 = 0
  /// DW1: the upper half of the result, for the few commands that have one.
  public var resultHigh: UInt32 = 0
  /// SQHD: how far the controller has fetched the submission queue.
  public var submissionHead: UInt16 = 0
  /// SQID: the submission queue the command came from.
  public var submissionQueue: UInt16 = 0
  /// CID: the command that completed.
  public var commandIdentifier: UInt16 = 0
  /// The phase tag in bit 0, the status field above it.
  public var statusAndPhase: UInt16 = 0

  /// The size of an entry in bytes.
  public static let size = 16
  /// The size as CC.IOCQES and CQES give it: `1 << 4` bytes.
  public static let sizeExponent: UInt8 = 4
  /// The byte offset of `statusAndPhase`, to be read first, alone, before a load barrier.
  public static let phaseOffset = 14

  /// The byte offset of `commandIdentifier`.
  public static let identifierOffset = 12

  /// An entry of zeros.
  @inlinable
  public init() {}

  /// P: inverted at each pass through the queue.
  @inlinable
  public var phase: Bool {
    get { statusAndPhase & 1 != 0 }
    set { statusAndPhase = (statusAndPhase & ~1) | (newValue ? 1 : 0) }
  }

  /// The status field.
  @inlinable
  public var status: Status {
    get { Status(rawValue: statusAndPhase &>> 1) }
    set { statusAndPhase = (statusAndPhase & 1) | (newValue.rawValue &<< 1) }
  }
}
