import Block
import DriverTestSupport
import EmulatedController
import NVMe
import TestSupport
import Testing

@Suite struct ShadowDoorbellTests {
  /// Writes and reads at random, so that queues wrap many times.
  private func work(_ driver: BlockDriver, rounds: Int, seed: UInt64) {
    var random = SplitMix(seed: seed)
    for _ in 0..<rounds {
      for frame in 0..<UInt32.random(in: 1...12, using: &random) {
        let isWrite = Bool.random(using: &random)
        #expect(
          driver.submit(isWrite ? .write : .read, block: UInt64(frame), count: 1, frames: [frame]) != nil)
      }
      #expect(driver.drain())
    }
    #expect(driver.ends.values.allSatisfy { $0 == 0 })
  }

  @Test(arguments: [UInt8(0), 2]) func noDoorbellIsStoredTo(_ stride: UInt8) throws {
    let machine = try TestMachine {
      $0.shadowDoorbells = true
      $0.doorbellStride = stride
    }
    machine.options.queueEntries = 16
    let device = try machine.openDevice()
    work(BlockDriver(device, machine.time), rounds: 200, seed: 1)
    #expect(device.counters.savedDoorbells > 300)
    #expect(device.counters.submissionDoorbells + device.counters.completionDoorbells == 0)
    device.close()
    #expect(machine.device.dmaFaultCount == 0)
  }

  @Test func theyCanBeSwitchedOff() throws {
    let machine = try TestMachine { $0.shadowDoorbells = true }
    machine.options.usesShadowDoorbells = false
    let device = try machine.openDevice()
    work(BlockDriver(device, machine.time), rounds: 20, seed: 2)
    #expect(device.counters.savedDoorbells == 0 && device.counters.submissionDoorbells > 0)
    device.close()
  }

  @Test func shadowsAreClearedAfterAResetAndForANewQueue() throws {
    let machine = try TestMachine { $0.shadowDoorbells = true }
    machine.options.queueEntries = 8
    let controller = try machine.open()
    for round in 0..<4 {
      let device = try NamespaceDevice(controller: controller, namespace: 1, arenaFrames: 64)
      device.closesController = false
      let driver = BlockDriver(device, machine.time)
      work(driver, rounds: 5, seed: UInt64(round))
      controller.reset()
      work(driver, rounds: 5, seed: UInt64(round))
      device.close()
    }
    #expect(controller.state == .ready)
    controller.close()
    #expect(machine.device.dmaFaultCount == 0)
  }
}
