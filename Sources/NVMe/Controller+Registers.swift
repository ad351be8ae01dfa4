import NVMeSpec
import PCI

/// The controller's registers: what must hold before it is enabled, and access to the two that are used
/// later.
extension Controller {
  /// Refuses a controller that this driver cannot run, with the reason.
  static func check(
    _ capabilities: ControllerCapabilities, _ registers: RegisterWindow, of function: any PCIFunction
  ) throws(ControllerError) {
    func refuse(_ what: String) -> ControllerError {
      ControllerError(function.name, .disabling, .unsupported(what))
    }
    guard capabilities.rawValue != .max else { throw ControllerError(function.name, .disabling, .removed) }
    guard capabilities.minimumPageSize == 0 else {
      throw refuse("the controller needs memory pages larger than 4 KiB (CAP.MPSMIN)")
    }
    guard capabilities.nvmCommandSet || capabilities.multipleCommandSets else {
      throw refuse("the controller does not offer the NVM command set (CAP.CSS)")
    }
    guard capabilities.queueEntryLimit >= 2 else {
      throw refuse("the controller's queues have no room for a command (CAP.MQES)")
    }
    guard Doorbell.windowSize(queues: 2, stride: capabilities.doorbellStride) <= registers.size else {
      throw refuse("the controller's doorbells lie outside its BAR 0 (CAP.DSTRD)")
    }
  }

  /// CSTS; all ones mean that the function is gone.
  var controllerStatus: ControllerStatus { ControllerStatus(rawValue: registers.load32(at: Register.status)) }

  /// CC.
  var configuration: ControllerConfiguration {
    get { ControllerConfiguration(rawValue: registers.load32(at: Register.configuration)) }
    set { registers.store32(newValue.rawValue, at: Register.configuration) }
  }

  /// How long CSTS.RDY may take to follow CC.EN (ns): as the controller says, and one unit for rounding.
  var readyTimeout: UInt64 {
    let timeouts = ReadyTimeouts(rawValue: registers.load32(at: Register.readyTimeouts))
    let asked = registerCapabilities.readyTimeout(timeouts) + 500 * .millisecond
    return min(max(asked, Self.shortestReadyTimeout), Self.longestReadyTimeout)
  }

  /// Some controllers report 0, or less than they need.
  private static let shortestReadyTimeout: UInt64 = 5_000 * .millisecond

  /// CRTO can be up to nine hours. No controller needs that long, and a wrong value must not delay the error.
  private static let longestReadyTimeout: UInt64 = 300_000 * .millisecond

  /// Sets the admin queue up and enables the controller.
  func enable() {
    let memory = admin.memory
    memory.clearQueues()
    var attributes = AdminQueueAttributes(rawValue: 0)
    attributes.submissionSize = UInt16(memory.entries - 1)
    attributes.completionSize = UInt16(memory.entries - 1)
    registers.store32(attributes.rawValue, at: Register.adminQueueAttributes)
    registers.store64(memory.submissionAddress, at: Register.adminSubmissionQueue)
    registers.store64(memory.completionAddress, at: Register.adminCompletionQueue)
    memoryBuffer?.enable(registers)
    var configuration = ControllerConfiguration(rawValue: 0)
    configuration.commandSet = registerCapabilities.nvmCommandSet ? .nvm : .allSupported
    configuration.submissionEntrySize = SubmissionEntry.sizeExponent
    configuration.completionEntrySize = CompletionEntry.sizeExponent
    configuration.enabled = true
    self.configuration = configuration
  }

  /// Clears CC.EN: the controller forgets its queues and ends all DMA before CSTS.RDY is 0.
  func disable() {
    var configuration = self.configuration
    configuration.enabled = false
    configuration.shutdown = .none
    self.configuration = configuration
  }
}
