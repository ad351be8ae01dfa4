@testable import Block
import BlockProtocol
import CMachine
import DriverTestSupport
import EmulatedController
import Glibc
import NVMe
import NVMeSpec
import Testing

/// Asynchronous events, with a sleeping caller.
@Suite struct EventTests {
  private func isReadable(_ descriptor: Int32) -> Bool {
    var watched = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    return poll(&watched, 1, 0) == 1
  }

  /// Polls as long as the device reports an event.
  private func settle(_ device: NamespaceDevice) {
    var completions: [BlockCompletion] = []
    while !device.prepareToSleep() { device.poll(&completions, limit: 1) }
  }

  @Test func anIdleDeviceWakesItsCaller() throws {
    let machine = try TestMachine()
    let device = try machine.openDevice()
    settle(device)
    let descriptor = try #require(device.eventDescriptor)
    var count: UInt64 = 0
    _ = read(descriptor, &count, 8)
    #expect(!isReadable(descriptor) && device.nextDeadline == .max)
    machine.device.report(.temperature, warning: 2)
    #expect(isReadable(descriptor) && !device.prepareToSleep())
    settle(device)
    #expect(device.controller.events.entries == [.temperature])
    #expect(device.controller.health?.criticalWarning == 2)
    #expect(device.nextDeadline == .max)
    // The log was read, so the next event comes too.
    machine.device.report(.spareLow, warning: 3)
    settle(device)
    #expect(device.controller.events.entries == [.temperature, .spareLow])
    #expect(device.controller.health?.criticalWarning == 3)
    device.close()
  }

  @Test func aChangedNamespaceIsIdentifiedAgain() throws {
    let machine = try TestMachine(namespaces: 2)
    let device = try machine.openDevice()
    let controller = device.controller
    #expect(controller.namespaces.map(\.lbaSize) == [4096, 4096])
    _ = try controller.execute(SubmissionEntry(formatNamespace: 2, format: 0))
    machine.device.reportChange(ofNamespace: 2)
    settle(device)
    #expect(controller.events.entries == [.namespaceAttributeChanged])
    #expect(controller.namespaces.map(\.lbaSize) == [4096, 512])
    #expect(controller.namespaces.allSatisfy { $0.uuid != nil })
    machine.device.reportChange(ofNamespace: 1)
    settle(device)
    #expect(controller.counters.events == 2)
    device.close()
  }

  @Test func commandsMayTakeLongerDuringAFirmwareActivation() throws {
    let machine = try TestMachine()
    machine.options.commandTimeout = 500_000_000
    machine.options.abortTimeout = 100_000_000
    machine.options.watchInterval = 50_000_000
    let device = try machine.openDevice()
    let driver = BlockDriver(device, machine.time)
    machine.device.isPaused = true
    machine.device.report(.firmwareActivationStarting)
    settle(device)
    #expect(device.controller.firmware?.activeSlot == 1)
    // The controller announces up to a second.
    machine.device.faultRules = [FaultRule(io: .read, .delay(900_000_000), limit: 1)]
    #expect(driver.run(.read, block: 0, count: 1, frames: [0]) == 0)
    #expect(device.counters.timeouts == 0)
    // A pause that never ends is not waited for.
    machine.device.report(.firmwareActivationStarting)
    settle(device)
    machine.device.faultRules = [FaultRule(io: .read, .delay(900_000_000_000), limit: 1)]
    #expect(driver.run(.read, block: 0, count: 1, frames: [0]) == 0)
    #expect(device.counters.timeouts == 1)
    device.close()
  }

  @Test func eventsTakenASecondAreLimited() throws {
    let machine = try TestMachine()
    machine.device.faultRules = [FaultRule(admin: .asynchronousEventRequest, .status(.success))]
    let device = try machine.openDevice()
    settle(device)
    #expect(device.controller.counters.events < 40)
    #expect(device.nextDeadline > machine.time.now && device.nextDeadline < machine.time.now + 2_000_000_000)
    machine.time.now = device.nextDeadline
    var completions: [BlockCompletion] = []
    device.poll(&completions, limit: 1)
    settle(device)
    #expect(device.controller.counters.events < 80)
    device.close()
  }

  @Test func aFollowUpThatDoesNotCompleteLeadsToAReset() throws {
    let machine = try TestMachine()
    let device = try machine.openDevice()
    settle(device)
    machine.device.faultRules = [FaultRule(admin: .getLogPage, .loseCompletion, limit: 1)]
    machine.device.report(.temperature)
    settle(device)
    #expect(device.nextDeadline <= machine.time.now + 60_000_000_000)
    let driver = BlockDriver(device, machine.time)
    machine.time.now = device.nextDeadline
    for _ in 0..<20 {
      driver.poll()
      if device.nextDeadline != .max { machine.time.now = max(machine.time.now, device.nextDeadline) }
    }
    #expect(device.controller.counters.stuckAdminCommands == 1 && device.controller.state == .ready)
    #expect(driver.run(.read, block: 0, count: 1, frames: [0]) == 0)
    device.close()
  }

  @Test func everyLogPageIsRead() throws {
    let machine = try TestMachine()
    let device = try machine.openDevice()
    let controller = device.controller
    #expect(try controller.readErrorLog().isEmpty)
    machine.device.faultRules = [
      FaultRule(io: .read, .status(Status(.unrecoveredReadError, doNotRetry: true)), limit: 1)
    ]
    #expect(BlockDriver(device, machine.time).run(.read, block: 7, count: 1, frames: [0]) == ENODATA)
    #expect(try controller.readErrorLog().map(\.block) == [7])
    #expect(try controller.readHealth().errorLogEntries == 1)
    #expect(try controller.readFirmwareSlots().revisions[0] == "1.0")
    #expect(try controller.readChangedNamespaces() == ChangedNamespaceLog())
    let effects = try controller.readCommandEffects()
    #expect(effects.io[.write] == [.supported, .changesData] && effects.io[.copy] == nil)
    #expect(effects.admin[.formatNVM] == [.supported, .changesData, .changesNamespace])
    // The list of log pages came with version 2.0; the emulated controller follows 1.4.
    #expect(throws: ControllerError.self) { try controller.readSupportedLogPages() }
    device.close()
  }
}
