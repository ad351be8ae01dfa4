import CMachine
import NVMeSpec

/// How a command ended.
public enum CommandEnd: UInt8, Sendable {
  /// With status success.
  case succeeded
  /// With an error status from the controller.
  case failed
  /// It exceeded its time limit, and the controller has been disabled since.
  case timedOut
  /// It was in flight when the controller was disabled for another reason.
  case interrupted
  /// The device is gone.
  case removed
  /// It was in flight when the device lost power or was restarted. The queue's user first checks what the
  /// device still holds, and then decides whether to post the command again.
  case recalled
}

/// A command that has ended, as a queue pair reports it.
public struct FinishedCommand: Sendable {
  /// The caller's value from when the command was posted.
  public var context: UInt64
  /// Dword 0 of the completion in the low half, the outcome in the high one.
  @usableFromInline var answer: UInt64

  init(context: UInt64, result: UInt32, status: Status, end: CommandEnd) {
    self.context = context
    let outcome = UInt32(status.rawValue) | UInt32(end.rawValue) << 16
    answer = UInt64(result) | UInt64(outcome) << 32
  }

  /// A command that succeeded with a result.
  @inlinable @inline(__always)
  init(context: UInt64, succeeded result: UInt32) {
    self.context = context
    answer = UInt64(result)
  }

  /// Dword 0 of the completion; 0 when there was none.
  public var result: UInt32 { UInt32(truncatingIfNeeded: answer) }

  /// The status field in the low half, how the command ended above it: all zero for a success.
  @inlinable
  var outcome: UInt32 { UInt32(truncatingIfNeeded: answer &>> 32) }

  /// The status field of the completion; success when there was none.
  public var status: Status { Status(rawValue: UInt16(truncatingIfNeeded: outcome)) }

  /// How the command ended.
  public var end: CommandEnd { CommandEnd(rawValue: UInt8(truncatingIfNeeded: outcome >> 16)) ?? .failed }

  /// 0 or the errno that Linux would return for the same end to a user of the block device.
  @inlinable
  public var errno: Int32 { outcome == 0 ? 0 : errorNumber }

  @usableFromInline
  var errorNumber: Int32 {
    switch end {
    case .succeeded: 0
    case .failed: BlockStatus(status).errno
    case .timedOut: ETIMEDOUT
    case .interrupted, .recalled: EIO
    case .removed: ENODEV
    }
  }
}
