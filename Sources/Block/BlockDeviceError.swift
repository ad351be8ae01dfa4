import BlockProtocol
import CMachine
import Glibc
import NVMe
import PCI

/// Why a device could not be opened or used, and the remedy.
public struct BlockDeviceError: Error, CustomStringConvertible, Sendable {
  /// What went wrong.
  public enum Reason: Sendable {
    /// The controller has no such namespace; the value lists those it has.
    case noSuchNamespace([UInt32])
    /// The namespace cannot be used as 4 KiB blocks.
    case unusable(String)
    /// An error of memory allocation or of the PCI function.
    case function(FunctionError)
    /// An error of the controller.
    case controller(ControllerError)
    /// A command on blocks failed with an errno; `said` is the device's description of the failure.
    case command(BlockCommand.Operation, block: UInt64, errno: Int32, said: String?)
  }

  /// The device's name.
  public let device: String
  public let reason: Reason

  init(_ device: String, _ reason: Reason) {
    self.device = device
    self.reason = reason
  }

  /// The errno that fits best.
  public var errno: Int32 {
    switch reason {
    case .noSuchNamespace: ENXIO
    case .unusable: EOPNOTSUPP
    case .function(let error): error.errno == 0 ? EIO : error.errno
    case .controller(let error): error.errno
    case .command(_, _, let errno, _): errno
    }
  }

  public var description: String {
    switch reason {
    case .noSuchNamespace(let others):
      "\(device): there is no such namespace; the controller has "
        + (others.isEmpty ? "none" : others.map(String.init).joined(separator: ", "))
    case .unusable(let what): "\(device): \(what)"
    case .function(let error): "\(device): \(error)"
    case .controller(let error): "\(error)"
    case .command(let operation, let block, let errno, let said):
      "\(device): \(operation) of block \(block): \(String(cString: cm_block_error(errno)))"
        + (said.map { " (\($0))" } ?? "")
    }
  }
}
