import CMachine
import DriverTestSupport
import EmulatedController
import NVMe
import NVMeSpec
import Testing

@testable import Block

@Suite struct ErrorTests {
  private func open(
    _ configure: (TestMachine) -> Void = { _ in }
  ) throws -> (TestMachine, NamespaceDevice, BlockDriver) {
    let machine = try TestMachine()
    configure(machine)
    let device = try machine.openDevice()
    return (machine, device, BlockDriver(device, machine.time))
  }

  @Test(arguments: StatusCode.all) func everyStatusBecomesLinuxsErrno(_ code: StatusCode) throws {
    guard code != .success else { return }
    let (machine, device, driver) = try open()
    machine.device.faultRules = [FaultRule(io: .read, .status(Status(code, doNotRetry: true)), limit: 1)]
    #expect(driver.run(.read, block: 3, count: 1, frames: [0]) == BlockStatus(Status(code)).errno)
    #expect(device.counters.retries == 0 && device.counters.errors == 1)
    #expect(device.errors.first?.status.code == code)
    #expect(device.errors.first?.lba == 3 && device.errors.first?.namespace == 1)
    #expect(driver.run(.read, block: 3, count: 1, frames: [0]) == 0)
    device.close()
  }

  @Test func aFailureIsFoundByItsBlocks() throws {
    let (machine, device, driver) = try open()
    let status = Status(.unrecoveredReadError, doNotRetry: true)
    machine.device.faultRules = [FaultRule(io: .read, .status(status), limit: 1)]
    #expect(device.failure(on: 0..<100) == nil)
    _ = driver.run(.read, block: 9, count: 1, frames: [0])
    #expect(device.failure(on: 9..<10)?.status.code == .unrecoveredReadError)
    #expect(device.failure(on: 8..<9) == nil && device.failure(on: 10..<20) == nil)
    #expect(device.failure(on: nil) == nil)
    machine.device.faultRules = [
      FaultRule(io: .flush, .status(Status(.writeFault, doNotRetry: true)), limit: 1)
    ]
    _ = driver.run(.flush, block: 0, count: 0, frames: [])
    #expect(device.failure(on: nil)?.status.code == .writeFault)
    device.close()
  }

  @Test func aTransientErrorIsTriedAgain() throws {
    let (machine, device, driver) = try open()
    machine.device.faultRules = [FaultRule(io: .write, .status(Status(.writeFault)), limit: 5)]
    #expect(driver.run(.write, block: 0, count: 1, frames: [0]) == 0)
    #expect(device.counters.retries == 5 && device.counters.errors == 0)
    device.close()
  }

  @Test func retriesAreBounded() throws {
    let (machine, device, driver) = try open()
    machine.device.faultRules = [FaultRule(io: .write, .status(Status(.writeFault)))]
    #expect(driver.run(.write, block: 0, count: 1, frames: [0]) == ENODATA)
    #expect(device.counters.retries == 5 && device.counters.errors == 1)
    device.close()
  }

  /// CRDT1...CRDT3 are 1, 2 and 3 tenths of a second here.
  @Test(arguments: [UInt8(0), 1, 2, 3]) func waitsAsLongAsTheControllerAsks(_ index: UInt8) throws {
    let (machine, device, driver) = try open()
    let status = Status(.namespaceNotReady, retryDelay: index)
    machine.device.faultRules = [FaultRule(io: .read, .status(status), limit: 1)]
    let start = machine.time.now
    #expect(driver.run(.read, block: 0, count: 1, frames: [0]) == 0)
    let waited = machine.time.now - start
    #expect(waited == UInt64(index) * 100_000_000)
    device.close()
  }

  @Test func oneFailedPartFailsTheWholeCommand() throws {
    let machine = try TestMachine { $0.maximumTransfer = 1 }
    machine.options.queueEntries = 3
    let device = try machine.openDevice()
    let driver = BlockDriver(device, machine.time)
    machine.device.faultRules = [
      FaultRule(io: .read, blocks: 9..<10, .status(Status(.unrecoveredReadError, doNotRetry: true)))
    ]
    #expect(driver.run(.read, block: 0, count: 40, frames: Array(0..<40)) == ENODATA)
    #expect(driver.run(.read, block: 10, count: 20, frames: Array(0..<20)) == 0)
    device.close()
  }

  @Test func unknownCompletionsAreCountedAndIgnored() throws {
    let (machine, device, driver) = try open()
    machine.device.faultRules = [FaultRule(io: .read, .duplicateCompletion)]
    for _ in 0..<600 { #expect(driver.run(.read, block: 0, count: 1, frames: [0]) == 0) }
    #expect(device.counters.badCommandIDs == 600)
    machine.device.faultRules = [FaultRule(io: .read, .completeAs(identifier: 0xffff), limit: 1)]
    #expect(driver.run(.read, block: 0, count: 1, frames: [0]) == 0)
    #expect(device.counters.badCommandIDs == 601 && device.counters.requeues == 1)
    device.close()
  }

  @Test func aLostCompletionCostsAResetAndNothingElse() throws {
    let (machine, device, driver) = try open()
    machine.device.faultRules = [FaultRule(io: .write, .loseCompletion, limit: 1)]
    let start = machine.time.now
    #expect(driver.run(.write, block: 0, count: 1, frames: [0]) == 0)
    #expect(device.counters.timeouts == 1 && device.counters.requeues == 1)
    #expect(device.controller.counters.resets == 1)
    #expect(machine.time.now - start >= 30_000_000_000 && machine.time.now - start < 60_000_000_000)
    #expect(driver.run(.read, block: 0, count: 1, frames: [0]) == 0)
    device.close()
    #expect(machine.device.dmaFaultCount == 0)
  }

  @Test func aSlowCommandIsAbortedAndTriedAgain() throws {
    let (machine, device, driver) = try open()
    driver.poll()
    machine.device.faultRules = [FaultRule(io: .read, .delay(1_000_000_000_000), limit: 1)]
    #expect(driver.run(.read, block: 0, count: 1, frames: [0]) == 0)
    #expect(device.counters.timeouts == 1 && device.counters.retries == 1)
    #expect(device.controller.counters.resets == 0)
    device.close()
  }

  @Test func aSlowCommandWithinTheLimitIsNotAborted() throws {
    let (machine, device, driver) = try open()
    driver.poll()
    machine.device.faultRules = [FaultRule(io: .read, .delay(29_000_000_000), limit: 1)]
    #expect(driver.run(.read, block: 0, count: 1, frames: [0]) == 0)
    #expect(device.counters.timeouts == 0 && device.counters.retries == 0)
    device.close()
  }

  @Test func aCommandThatNeverCompletesTimesOut() throws {
    let (machine, device, driver) = try open { $0.options.retry.maximumRequeues = 0 }
    machine.device.faultRules = [FaultRule(io: .write, .loseCompletion)]
    let lost = driver.submit(.write, block: 0, count: 1, frames: [0])
    let other = driver.submit(.read, block: 0, count: 1, frames: [1])
    #expect(driver.drain())
    #expect(driver.ends[lost ?? 99] == ETIMEDOUT)
    #expect(driver.ends[other ?? 99] == 0)
    #expect(driver.run(.read, block: 0, count: 1, frames: [0]) == 0)
    device.close()
  }

  @Test func aFatalErrorIsRecoveredFrom() throws {
    let (machine, device, driver) = try open()
    machine.device.faultRules = [FaultRule(io: .read, .fatal, limit: 1)]
    for index in 0..<5 { _ = driver.submit(.read, block: UInt64(index), count: 1, frames: [UInt32(index)]) }
    #expect(driver.drain())
    #expect(driver.ends.values.allSatisfy { $0 == 0 })
    #expect(device.controller.counters.resets == 1)
    device.close()
  }

  @Test func removalEndsEverything() throws {
    let (machine, device, driver) = try open()
    machine.device.faultRules = [FaultRule(io: .read, .remove)]
    for index in 0..<20 { _ = driver.submit(.read, block: UInt64(index), count: 1, frames: [UInt32(index)]) }
    _ = driver.submit(.discard, block: 0, count: 4)
    #expect(driver.drain())
    #expect(driver.ends.count == 21 && driver.ends.values.allSatisfy { $0 == ENODEV })
    #expect(driver.run(.write, block: 0, count: 1, frames: [0]) == ENODEV)
    device.close()
  }

  @Test func aControllerThatDoesNotComeBackIsGivenUp() throws {
    let (machine, device, driver) = try open()
    machine.device.faultRules = [
      FaultRule(io: .read, .loseCompletion), FaultRule(.enable, .stuck),
    ]
    for index in 0..<5 { _ = driver.submit(.read, block: UInt64(index), count: 1, frames: [UInt32(index)]) }
    #expect(driver.drain())
    #expect(driver.ends.count == 5 && driver.ends.values.allSatisfy { $0 == EIO || $0 == ETIMEDOUT })
    #expect(device.controller.state == .failed)
    #expect(driver.run(.write, block: 0, count: 1, frames: [0]) == EIO)
    device.close()
    #expect(machine.device.dmaFaultCount == 0)
  }

  @Test func oneResetServesAllDevicesOfAController() throws {
    let machine = try TestMachine(namespaces: 2)
    let controller = try machine.open()
    let devices = try [UInt32(1), 2].map {
      try NamespaceDevice(controller: controller, namespace: $0, arenaFrames: 4)
    }
    let drivers = devices.map { BlockDriver($0, machine.time) }
    machine.device.faultRules = [FaultRule(io: .read, .loseCompletion, limit: 2)]
    for driver in drivers {
      _ = driver.submit(.read, block: 0, count: 1, frames: [0])
      driver.device.ring()
    }
    for driver in drivers { #expect(driver.drain()) }
    for driver in drivers {
      #expect(driver.ends == [0: 0])
      #expect(driver.run(.write, block: 1, count: 1, frames: [0]) == 0)
    }
    for device in devices { device.close() }
    #expect(controller.counters.resets >= 1 && machine.device.dmaFaultCount == 0)
  }
}
