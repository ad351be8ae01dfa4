import Glibc
import DriverTestSupport
import EmulatedController
import NVMeSpec
import TestSupport
import Testing

@testable import Block
@testable import NVMe

/// Limits that the emulated controller does not have, reported to the driver all the same.
@Suite struct LimitsTests {
  @Test(arguments: [512, 4096]) func noCommandCrossesTheOptimalBoundary(_ lbaSize: Int) throws {
    let machine = try TestMachine(blocks: 256, lbaSize: lbaSize) { $0.records = true }
    let controller = try machine.open()
    var identity = controller.namespaces[0].identity
    let boundary = 32_768 / lbaSize
    identity.optimalBoundary = UInt16(boundary)
    controller.namespaces[0] = Namespace(identifier: 1, identity: identity)
    let device = try NamespaceDevice(controller: controller, namespace: 1, arenaFrames: 256)
    let driver = BlockDriver(device, machine.time)
    var random = SplitMix(seed: 17)
    for _ in 0..<50 {
      let count = UInt32.random(in: 1...60, using: &random)
      let block = UInt64.random(in: 0...UInt64(256 - count), using: &random)
      #expect(driver.run(.write, block: block, count: count, frames: Array(0..<count)) == 0)
    }
    let events = machine.device.recording?.events ?? []
    #expect(events.count > 50)
    for event in events {
      #expect(event.block / UInt64(boundary) == (event.block + event.count - 1) / UInt64(boundary))
    }
    device.close()
  }

  @Test func zeroesAreWrittenWhereThereIsNoCommandForIt() throws {
    let machine = try TestMachine(blocks: 64, lbaSize: 512) { $0.maximumTransfer = 2 }
    let controller = try machine.open()
    controller.capabilities.canWriteZeroes = false
    let device = try NamespaceDevice(controller: controller, namespace: 1, arenaFrames: 64)
    let driver = BlockDriver(device, machine.time)
    memset(device.arena.base, 0xff, device.arena.size)
    #expect(driver.run(.write, block: 0, count: 64, frames: Array(0..<64)) == 0)
    #expect(driver.run(.writeZeroes, block: 10, count: 30) == 0)
    #expect(driver.run(.read, block: 0, count: 64, frames: Array(0..<64)) == 0)
    for frame in UInt32(0)..<64 {
      let byte = device.arena.pointer(frame).load(fromByteOffset: 4095, as: UInt8.self)
      #expect(byte == ((10..<40).contains(frame) ? 0 : 0xff))
    }
    device.close()
    #expect(machine.device.dmaFaultCount == 0)
  }

  @Test func largeZeroesAreSplit() throws {
    let machine = try TestMachine(blocks: 20_000, lbaSize: 512)
    let device = try machine.openDevice()
    let driver = BlockDriver(device, machine.time)
    #expect(driver.run(.writeZeroes, block: 1, count: 19_999) == 0)
    #expect(device.counters.submitted > 1)
    device.close()
  }

  @Test func formatsThatCannotBeUsedAreRefused() throws {
    let machine = try TestMachine()
    let controller = try machine.open()
    var identity = controller.namespaces[0].identity
    let formats = [
      LBAFormat(exponent: 12, metadata: 8), LBAFormat(exponent: 13), LBAFormat(exponent: 0),
      LBAFormat(exponent: 255),
    ]
    for format in formats {
      identity.formats = [format]
      controller.namespaces[0] = Namespace(identifier: 1, identity: identity)
      let error = #expect(throws: BlockDeviceError.self) {
        try NamespaceDevice(controller: controller, namespace: 1, arenaFrames: 1)
      }
      #expect(error?.errno == EOPNOTSUPP)
    }
    controller.close()
  }

  @Test func aDeviceThatCannotDiscardReportsIt() throws {
    let machine = try TestMachine()
    let controller = try machine.open()
    controller.capabilities.canDeallocate = false
    let device = try NamespaceDevice(controller: controller, namespace: 1, arenaFrames: 1)
    let driver = BlockDriver(device, machine.time)
    #expect(!device.canDiscard)
    #expect(driver.run(.discard, block: 0, count: 1) == EOPNOTSUPP)
    device.close()
  }
}
