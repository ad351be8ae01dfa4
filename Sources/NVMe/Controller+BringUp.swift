import NVMeSpec
import PCI

/// The bring-up, as a state machine that never blocks: `advance` goes on until it has to wait for the
/// controller.
extension Controller {
  /// Enters the first state and goes on until the controller is ready, sleeping between the steps.
  func start() throws(ControllerError) {
    let found = controllerStatus
    guard !found.isGone else { throw error(.removed) }
    let isBeingEnabled = configuration.enabled && !found.ready && !found.fatal
    do throws(ControllerError) {
      try enter(isBeingEnabled ? .awaitingFormerEnable : .disabling)
      try awaitReady()
    } catch {
      fail(error)
      unmapMemory()
      throw error
    }
  }

  /// Goes on until the controller is ready, sleeping between the steps.
  private func awaitReady() throws(ControllerError) {
    var pause = Pause(self)
    while state != .ready {
      do throws(ControllerError) {
        if try advance() { pause = Pause(self) } else { pause.wait() }
      } catch {
        guard canContinue(after: error) else { throw error }
        try enter(.disabling)
      }
    }
  }

  /// Whether the bring-up can go on without the command that failed. It may still be in flight: only a reset
  /// ends it.
  private func canContinue(after error: ControllerError) -> Bool {
    guard case .commandTimeout = error.reason, error.state == .describingNamespaces, !skipsDescriptors else {
      return false
    }
    skipsDescriptors = true
    remarks.append("it does not answer when asked for descriptors of namespaces, and is not asked again")
    return true
  }

  /// Goes from state to state until one has to wait.
  /// - Returns: whether a state was left.
  @discardableResult
  func advance() throws(ControllerError) -> Bool {
    var hasAdvanced = false
    while state != .ready, try step() { hasAdvanced = true }
    bringUp.nextStep = now + .millisecond
    return hasAdvanced
  }

  /// Leaves the present state if the condition it waits for holds.
  private func step() throws(ControllerError) -> Bool {
    switch state {
    case .awaitingFormerEnable: return try awaitFormerEnable()
    case .disabling: return try awaitDisabled()
    case .enabling: return try awaitEnabled()
    case .ready, .failed, .closed: return false
    default:
      guard let response = try awaitResponse() else { return false }
      try handle(response)
      return true
    }
  }

  /// Enters a state and takes its first action.
  func enter(_ next: ControllerState) throws(ControllerError) {
    state = next
    bringUp.nextStep = now
    switch next {
    case .awaitingFormerEnable: bringUp.deadline = now + readyTimeout
    case .disabling:
      let wasEnabled = configuration.enabled
      disable()
      bringUp.quietEnd = wasEnabled && quirks.contains(.delaysReadiness) ? now + Quirks.readinessDelay : 0
      bringUp.deadline = now + readyTimeout + (bringUp.quietEnd == 0 ? 0 : Quirks.readinessDelay)
    case .enabling:
      enable()
      admin.isOnline = true
      bringUp.deadline = now + readyTimeout
    case .ready: becomeReady()
    case .failed, .closed: break
    default: try sendCommand()
    }
  }

  // MARK: Waiting for CSTS

  /// CSTS, unless the device is gone.
  private func liveStatus() throws(ControllerError) -> ControllerStatus {
    _ = function.service(now: now)
    let status = controllerStatus
    guard !status.isGone else { throw error(.removed) }
    return status
  }

  private func awaitFormerEnable() throws(ControllerError) -> Bool {
    let status = try liveStatus()
    guard status.ready || status.fatal || now >= bringUp.deadline else { return false }
    try enter(.disabling)
    return true
  }

  private func awaitDisabled() throws(ControllerError) -> Bool {
    guard now >= bringUp.quietEnd else { return false }
    if try liveStatus().ready {
      guard now >= bringUp.deadline else { return false }
      // The controller ignores CC.EN; a function-level reset ends its DMA as well.
      try resetFunction()
    } else if bringUp.failures > 0 {
      // CC.EN alone has failed before, so the function is reset too, where it can be.
      try? resetFunction()
    }
    didStop()
    try enter(.enabling)
    return true
  }

  private func resetFunction() throws(ControllerError) {
    counters.functionResets += 1
    do throws(FunctionError) {
      try function.reset()
      function.setBusMaster(true)
    } catch {
      throw self.error(.function(error))
    }
    try enableInterrupts()
    guard try !liveStatus().ready else { throw error(.notReady(after: readyTimeout)) }
  }

  /// Turns MSI-X on. It has to be on before CC.EN is set: some controllers lose interrupts otherwise.
  func enableInterrupts() throws(ControllerError) {
    let vectors = min(function.interruptVectors, max(options.queuePairs, 1) + 1)
    guard vectors > 0 else { return }
    do throws(FunctionError) {
      interrupts = try function.enableInterrupts(count: vectors)
    } catch {
      throw self.error(.function(error))
    }
  }

  /// The controller is known to have stopped accessing memory: everything in flight has ended.
  func didStop() {
    generation += 1
    admin.discardAll()
    aborts = AbortTable()
    eventService.reset()
    adminDue = .max
    bringUp.response = nil
  }

  private func awaitEnabled() throws(ControllerError) -> Bool {
    let status = try liveStatus()
    if status.ready {
      if let memoryBuffer, memoryBuffer.hasInvalidAddress(registers) { refuseMemoryBuffer() }
      try enter(.identifyingController)
      return true
    }
    if status.fatal { throw error(.fatal) }
    if now >= bringUp.deadline { throw error(.notReady(after: readyTimeout)) }
    return false
  }

  // MARK: Waiting for admin commands

  private func awaitResponse() throws(ControllerError) -> FinishedCommand? {
    pollAdmin()
    if let response = bringUp.response {
      bringUp.response = nil
      return response
    }
    let status = try liveStatus()
    if status.fatal { throw error(.fatal) }
    if !status.ready { throw error(.resetItself) }
    if now >= bringUp.deadline { throw error(.commandTimeout(after: options.adminTimeout)) }
    return nil
  }
}

/// Sleeps of a blocking caller: short at first, longer later, and no longer than until an emulated function
/// needs service.
struct Pause {
  private let controller: Controller
  private var length: UInt64 = 10_000

  init(_ controller: Controller) { self.controller = controller }

  /// Sleeps once.
  mutating func wait() {
    let time = controller.options.time
    let now = time.now()
    let due = controller.function.service(now: now)
    if due > now { time.sleep(min(length, due - now)) }
    length = min(length * 2, 10 * .millisecond)
  }
}
