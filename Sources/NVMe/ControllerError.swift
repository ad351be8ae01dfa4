import CMachine
import NVMeSpec
import PCI

/// Why a controller could not be brought up, or has failed.
public struct ControllerError: Error, CustomStringConvertible, Sendable {
  /// What went wrong.
  public enum Reason: Sendable {
    /// An operation of the PCI function failed.
    case function(FunctionError)
    /// Registers read as all ones: the device is gone.
    case removed
    /// The controller lacks a feature that the driver needs, or has it in an unsupported form.
    case unsupported(String)
    /// CSTS.RDY did not follow CC.EN within this time (ns).
    case notReady(after: UInt64)
    /// CSTS.CFS: the controller reports a fatal error.
    case fatal
    /// CSTS.RDY went to 0 although CC.EN was set.
    case resetItself
    /// An admin command failed.
    case command(CommandError)
    /// An admin command did not complete within this time (ns).
    case commandTimeout(after: UInt64)
    /// Another controller or namespace was found in place of this one.
    case replaced(String)
    /// The controller is not in a state that accepts commands.
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

  /// Whether the device is gone, by its errno.
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
