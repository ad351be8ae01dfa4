import Block
import DriverTestSupport
import EmulatedController
import NVMeSpec
import Testing

@testable import NVMe

/// The trace of commands.
@Suite struct CommandTraceTests {
  @Test func showsEachCommandWithItsTimesInOrder() throws {
    let machine = try TestMachine { $0.latency = 5_000 }
    let device = try machine.openDevice()
    defer { device.close() }
    let driver = BlockDriver(device, machine.time)
    device.startTrace(capacity: 64)
    for block in 0..<5 as Range<UInt64> {
      _ = driver.submit(.write, block: block, count: 1, frames: [UInt32(block)])
    }
    #expect(driver.drain())
    let (commands, lost) = device.takeTrace(limit: 64)
    #expect(lost == 0)
    #expect(commands.map(\.command.startingBlock) == [0, 1, 2, 3, 4])
    #expect(Set(commands.map(\.command.commandIdentifier)).count == 5)
    for trace in commands {
      #expect(trace.queue == device.queueIdentifier && trace.isComplete && trace.status.isSuccess)
      #expect(trace.command.opcode == IOOpcode.write.rawValue && trace.command.blockCount == 1)
      #expect(trace.submitted <= trace.doorbell && trace.doorbell <= trace.doorbellEnd)
      #expect(trace.doorbellEnd <= trace.completed && trace.completed <= trace.reaped)
      #expect(trace.completed - trace.submitted >= 5_000)
    }
    #expect(device.takeTrace(limit: 64).commands.isEmpty)
  }

  @Test func recordsNothingWhileItIsOff() throws {
    let machine = try TestMachine()
    let device = try machine.openDevice()
    defer { device.close() }
    let driver = BlockDriver(device, machine.time)
    #expect(driver.run(.write, block: 0, count: 1, frames: [0]) == 0)
    #expect(device.takeTrace(limit: 8).commands.isEmpty)
    device.startTrace(capacity: 8)
    device.stopTrace()
    #expect(driver.run(.write, block: 0, count: 1, frames: [0]) == 0)
    #expect(device.takeTrace(limit: 8).commands.isEmpty)
  }

  @Test func everyTryOfACommandIsShown() throws {
    let machine = try TestMachine()
    machine.device.faultRules = [FaultRule(io: .read, .status(Status(.namespaceNotReady)), limit: 2)]
    let device = try machine.openDevice()
    defer { device.close() }
    let driver = BlockDriver(device, machine.time)
    device.startTrace(capacity: 8)
    #expect(driver.run(.read, block: 3, count: 1, frames: [0]) == 0)
    let commands = device.takeTrace(limit: 8).commands
    #expect(commands.map(\.status.isSuccess) == [false, false, true])
    #expect(commands.map(\.command.startingBlock) == [3, 3, 3])
  }

  @Test func manyCommandsGoRoundTheQueue() throws {
    let machine = try TestMachine()
    machine.options.queueEntries = 8
    let device = try machine.openDevice()
    defer { device.close() }
    let driver = BlockDriver(device, machine.time)
    device.startTrace(capacity: 512)
    for block in 0..<100 as Range<UInt64> {
      _ = driver.submit(.read, block: block, count: 1, frames: [UInt32(block % 8)])
      if block % 7 == 6 { #expect(driver.drain()) }
    }
    #expect(driver.drain())
    let commands = device.takeTrace(limit: 512).commands
    #expect(commands.map(\.command.startingBlock) == Array(0..<100))
    #expect(!commands.contains { !$0.isComplete })
  }

  @Test func theOldestAreLostAndCounted() {
    let tracer = CommandTracer(capacity: 4)
    for number in 0..<6 as Range<UInt16> {
      var trace = CommandTrace()
      trace.command.commandIdentifier = number
      tracer.add(trace)
    }
    for number in 0..<6 as Range<UInt16> { tracer.complete(number, .success, found: 1, reaped: 2) }
    #expect(tracer.lost == 2)
    #expect(tracer.take(limit: 10).map(\.command.commandIdentifier) == [2, 3, 4, 5])
  }

  @Test func aCommandInFlightDelaysLaterRecordsForAWhile() {
    let tracer = CommandTracer(capacity: 8)
    for number in 0..<8 as Range<UInt16> {
      var trace = CommandTrace()
      trace.command.commandIdentifier = number
      tracer.add(trace)
      if number == 1 {
        tracer.complete(1, .success, found: 1, reaped: 2)
        #expect(tracer.take(limit: 10).isEmpty)
      }
    }
    // Half the ring is newer than the first four, which are taken even though one is in flight.
    #expect(tracer.take(limit: 10).map(\.isComplete) == [false, true, false, false])
    // An identifier that no command in the ring has is ignored.
    tracer.complete(0, .success, found: 1, reaped: 2)
    tracer.complete(999, .success, found: 1, reaped: 2)
    #expect(tracer.take(limit: 10).isEmpty)
  }
}
