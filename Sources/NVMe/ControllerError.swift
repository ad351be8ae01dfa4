import CMachine
import NVMeSpec
import PCI

/// Why a controller could not be brought up, or cannot be used any more.
public struct ControllerError: Error, CustomStringConvertible, Sendable {
  /// What went wrong.
  public enum Reason: Sendable {
    /// The PCI function refused.
    case function(FunctionError)
    /// Registers read as all ones: the device is gone.
    case removed
    /// The controller lacks something that is needed, or has it in a form not supported.
    case unsupported(String)
    /// CSTS.RDY did not become what it should within so many nanoseconds.
    case notReady(after: UInt64)
    /// CSTS.CFS: the controller reports a fatal error.
    case fatal
    /// CSTS.RDY went away although CC.EN was set.
    case resetItself
    /// An admin command failed.
    case command(CommandError)
    /// An admin command did not complete within so many nanoseconds.
    case commandTimeout(after: UInt64)
    /// Another controller, or another namespace, answers where this one did.
    case replaced(String)
    /// The controller is not in a state to take commands.
    case notUsable
  }

  /// The function's name.
  public let device: String
  /// What the driver was doing.
  public let state: ControllerState
  public let reason: Reason

  init(_ device: String, _ state: ControllerState, _ reason: Reason) {
    self.device = device
    self.state = state
    self.reason = reason
  }

  /// Whether the device is gone.
  public var isRemoved: Bool { if case .removed = reason { true } else { false } }

  /// Whether there is nothing to be used any more where the device was.
  var isGone: Bool { errno == ENODEV }

  /// Whether another attempt to bring the controller up may succeed.
  var mayPass: Bool {
    switch reason {
    case .removed, .replaced: false
    default: true
    }
  }

  /// The errno that fits best.
  public var errno: Int32 {
    switch reason {
    case .function(let error): error.errno == 0 ? EIO : error.errno
    case .removed, .replaced: ENODEV
    case .unsupported: EOPNOTSUPP
    case .notReady, .commandTimeout: ETIMEDOUT
    case .command(let error): error.errno
    case .fatal, .resetItself, .notUsable: EIO
    }
  }

  public var description: String { "\(device): \(problem)" }

  private var problem: String {
    switch reason {
    case .function(let error): error.description
    case .removed: "the device is gone (its registers read as all ones)"
    case .unsupported(let what): what
    case .notReady(let limit):
      "the controller did not become ready within \(limit / .millisecond) ms (\(state)); power-cycle the device"
    case .fatal: "the controller reports a fatal error (CSTS.CFS, \(state)); power-cycle the device"
    case .resetItself: "the controller reset itself (\(state)); check its power supply"
    case .command(let error): "\(state): \(error)"
    case .commandTimeout(let limit): "an admin command took longer than \(limit / .millisecond) ms (\(state))"
    case .replaced(let what): "another device answers in its place: \(what)"
    case .notUsable: "the controller takes no commands (\(state))"
    }
  }
}
