import Block
import DriverTestSupport
import EmulatedController
import NVMe
import NVMeSpec
import TestSupport
import Testing

/// Submission queues in the controller's own memory.
@Suite struct MemoryBufferTests {
  private static let queueBytes = 16 * SubmissionEntry.size

  private func machine(_ bytes: Int) throws -> TestMachine {
    let machine = try TestMachine {
      $0.memoryBuffer = bytes
      $0.records = true
    }
    machine.options.queueEntries = 16
    return machine
  }

  /// Writes blocks, each with a different byte, and reads them back, so that queues wrap many times.
  private func work(_ driver: BlockDriver, seed: UInt64) {
    var random = SplitMix(seed: seed)
    let arena = driver.device.arena
    for _ in 0..<60 {
      let count = UInt32.random(in: 1...12, using: &random)
      let value = UInt8(truncatingIfNeeded: random.next())
      for frame in 0..<count {
        arena.pointer(frame).initializeMemory(as: UInt8.self, repeating: value ^ UInt8(frame), count: 4096)
        #expect(driver.submit(.write, block: UInt64(frame), count: 1, frames: [frame]) != nil)
      }
      #expect(driver.drain())
      for frame in 0..<count {
        #expect(driver.submit(.read, block: UInt64(frame), count: 1, frames: [frame + 16]) != nil)
      }
      #expect(driver.drain())
      for frame in 0..<count {
        #expect(arena.pointer(frame + 16).load(fromByteOffset: 4095, as: UInt8.self) == value ^ UInt8(frame))
      }
    }
    #expect(driver.ends.values.allSatisfy { $0 == 0 })
  }

  @Test func commandsAreNotFetchedFromTheHost() throws {
    let machine = try machine(64 << 10)
    let device = try machine.openDevice()
    #expect(device.controller.memoryBufferUsed == 4096)
    work(BlockDriver(device, machine.time), seed: 1)
    #expect(device.counters.bufferedCommands == device.counters.submitted && device.counters.submitted > 100)
    #expect(machine.device.statistics.commandsFromMemoryBuffer == Int(device.counters.submitted))
    device.close()
    #expect(machine.device.dmaFaultCount == 0 && machine.device.mappedArenas == 0)
  }

  @Test func itCanBeSwitchedOff() throws {
    let machine = try machine(64 << 10)
    machine.options.usesMemoryBuffer = false
    let device = try machine.openDevice()
    work(BlockDriver(device, machine.time), seed: 2)
    #expect(device.counters.bufferedCommands == 0 && machine.device.statistics.commandsFromMemoryBuffer == 0)
    device.close()
  }

  /// After any reset, of the function too, the buffer gets its address again and the queues are created in it
  /// again; commands in flight are submitted there once more.
  @Test(arguments: [FaultAction.fatal, .resetItself, .loseCompletion]) func itComesBackAfterAReset(
    _ fault: FaultAction
  ) throws {
    let machine = try machine(64 << 10)
    let device = try machine.openDevice()
    let driver = BlockDriver(device, machine.time)
    for round in 0..<4 {
      machine.device.faultRules = [FaultRule(io: .write, fault, skipping: 5, limit: 1)]
      if round % 2 == 1 { machine.device.faultRules += [FaultRule(.disable, .stuck, limit: 1)] }
      work(driver, seed: UInt64(round))
    }
    #expect(device.controller.counters.resets >= 4)
    // A controller that has reset itself is disabled, so it needs no function reset.
    #expect(fault == .resetItself || device.controller.counters.functionResets > 0)
    #expect(device.counters.requeues > 0)
    #expect(device.counters.bufferedCommands >= device.counters.submitted)
    device.close()
    #expect(machine.device.dmaFaultCount == 0)
  }

  /// Queues for which there is no room lie in the host's memory; freed room is used again.
  @Test func queuesThatDoNotFitLieInTheHostsMemory() throws {
    let machine = try machine(8 << 10)
    machine.options.queueEntries = 64
    let controller = try machine.open()
    func open() throws -> NamespaceDevice {
      let device = try NamespaceDevice(controller: controller, namespace: 1, arenaFrames: 64)
      device.closesController = false
      return device
    }
    let devices = try (0..<3).map { _ in try open() }
    for (index, device) in devices.enumerated() {
      work(BlockDriver(device, machine.time), seed: UInt64(index))
    }
    #expect(devices.map { $0.counters.bufferedCommands > 0 } == [true, true, false])
    devices[0].close()
    #expect(controller.memoryBufferUsed == 4096)
    let another = try open()
    work(BlockDriver(another, machine.time), seed: 3)
    #expect(another.counters.bufferedCommands > 0 && controller.memoryBufferUsed == 8192)
    for device in devices[1...] + [another] { device.close() }
    #expect(controller.memoryBufferUsed == 0)
    controller.close()
  }

  /// The registers report a buffer, but its BAR cannot be opened.
  @Test func withoutItsBARItIsNotUsed() throws {
    let machine = try machine(64 << 10)
    let controller = try Controller.open(try MappedController(machine.device), options: machine.options)
    let device = try NamespaceDevice(controller: controller, namespace: 1, arenaFrames: 64)
    work(BlockDriver(device, machine.time), seed: 4)
    #expect(device.counters.bufferedCommands == 0)
    device.close()
  }
}
