import NVMeSpec
import PCI

/// The orderly shutdown.
extension Controller {
  /// The shortest and the longest time given to a shutdown, whatever RTD3E says (ns); Linux' limits.
  private static let shutdownTimes: ClosedRange<UInt64> = (5 * .second)...(60 * .second)

  /// Shuts the controller down and closes the function: queue pairs are deleted in order, the controller is
  /// told to make everything durable (CC.SHN) and then disabled. Nothing may be in flight. Blocks; safe to
  /// call twice.
  public func close() {
    guard state != .closed else { return }
    if state == .ready { deleteQueues() }
    waitForReset()
    // Nothing is in flight, so there is no reason to wait for an offline controller.
    if state == .offline { fail(error(.removed)) }
    if state == .ready {
      disableHostMemory()
      shutDown()
      stop()
    }
    unmapMemory()
    function.close()
  }

  private func deleteQueues() {
    for memory in queues {
      guard state == .ready, deleteAtController(memory) else { return }
    }
  }

  /// Sets CC.SHN and waits for CSTS.SHST.
  private func shutDown() {
    var configuration = self.configuration
    configuration.shutdown = .normal
    self.configuration = configuration
    let latency = UInt64(identity.shutdownLatency) * 1_000
    let deadline = now + min(max(latency, Self.shutdownTimes.lowerBound), Self.shutdownTimes.upperBound)
    wait(until: deadline) { $0.shutdown == .complete || $0.fatal }
  }

  /// Clears CC.EN and waits for CSTS.RDY to clear; resets the function where it does not.
  private func stop() {
    disable()
    if wait(until: now + readyTimeout, { !$0.ready }) { return }
    fail(error(.notReady(after: readyTimeout)))
  }

  /// Waits until CSTS meets `condition`.
  /// - Returns: false on a timeout; true also for a device that is gone.
  @discardableResult
  private func wait(until deadline: UInt64, _ condition: (ControllerStatus) -> Bool) -> Bool {
    var pause = Pause(self)
    while true {
      let status = controllerStatus
      if status.isGone || condition(status) { return true }
      guard now < deadline else { return false }
      pause.wait()
    }
  }

  /// Unmaps all memory from the device, which has stopped.
  func unmapMemory() {
    state = .closed
    generation += 1
    function.setBusMaster(false)
    for memory in queues { function.unmap(memory.arena) }
    function.unmap(admin.memory.arena)
    function.unmap(adminData)
    if let hostMemory { function.unmap(hostMemory.arena) }
    hostMemory = nil
    if let shadowDoorbells { function.unmap(shadowDoorbells.arena) }
    shadowDoorbells = nil
    if let pendingRequest { function.unmap(pendingRequest.page) }
    pendingRequest = nil
    queues = []
  }
}
