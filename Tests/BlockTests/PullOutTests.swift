import DriverTestSupport
import EmulatedController
import Glibc
import NVMe
import Testing

@testable import Block

/// A device whose registers disappear while the driver uses them: every access to them is a bus error.
@Suite struct PullOutTests {
  private func open() throws -> (TestMachine, MappedController, NamespaceDevice, BlockDriver) {
    let machine = try TestMachine { $0.latency = 1_000_000 }
    let function = try MappedController(machine.device)
    let controller = try Controller.open(function, options: machine.options)
    let device = try NamespaceDevice(controller: controller, namespace: 1, arenaFrames: 64)
    return (machine, function, device, BlockDriver(device, machine.time))
  }

  @Test func mappedRegistersWorkLikeOthers() throws {
    let (machine, _, device, driver) = try open()
    #expect(driver.run(.write, block: 1, count: 2, frames: [0, 1]) == 0)
    machine.device.faultRules = [FaultRule(io: .read, .fatal, limit: 1)]
    #expect(driver.run(.read, block: 1, count: 2, frames: [2, 3]) == 0)
    #expect(device.controller.counters.resets == 1)
    device.close()
  }

  @Test func commandsInFlightEndWithENODEV() throws {
    let (machine, function, device, driver) = try open()
    for index in 0..<20 { _ = driver.submit(.write, block: UInt64(index), count: 1, frames: [UInt32(index)]) }
    device.ring()
    function.pullOut()
    for index in 0..<20 { _ = driver.submit(.read, block: UInt64(index), count: 1, frames: [UInt32(index)]) }
    #expect(driver.drain())
    #expect(driver.ends.count == 40 && driver.ends.values.allSatisfy { $0 == ENODEV })
    #expect(device.underWay.requests == 0 && device.underWay.commands == 0)
    #expect(device.nextDeadline == .max)
    device.close()
    #expect(machine.device.mappedArenas == 0)
  }

  @Test func anIdleRemovedDeviceCanBeClosed() throws {
    let (machine, function, device, driver) = try open()
    #expect(driver.run(.write, block: 1, count: 1, frames: [0]) == 0)
    function.pullOut()
    device.close()
    #expect(device.controller.state == .closed && machine.device.mappedArenas == 0)
  }
}
