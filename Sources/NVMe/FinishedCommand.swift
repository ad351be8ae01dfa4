import CMachine
import NVMeSpec

/// How a command came to its end.
public enum CommandEnd: UInt8, Sendable {
  /// With status success.
  case succeeded
  /// With an error status from the controller.
  case failed
  /// It outlived its time limit, and the controller has been disabled since.
  case timedOut
  /// It was under way when the controller was disabled for another reason.
  case interrupted
  /// The device is gone.
  case removed
}

/// A command that has ended, as a queue pair reports it.
public struct FinishedCommand: Sendable {
  /// What was given when the command was posted.
  public var context: UInt64
  /// Dword 0 of the completion; 0 when there was none.
  public var result: UInt32
  /// The status field of the completion; success when there was none.
  public var status: Status
  /// How the command ended.
  public var end: CommandEnd

  /// 0 or the errno that Linux would return for the same end to a user of the block device.
  @inlinable
  public var errno: Int32 { end == .succeeded ? 0 : errorNumber }

  @usableFromInline
  var errorNumber: Int32 {
    switch end {
    case .succeeded: 0
    case .failed: BlockStatus(status).errno
    case .timedOut: ETIMEDOUT
    case .interrupted: EIO
    case .removed: ENODEV
    }
  }
}
