import CMachine
import DriverTestSupport
import EmulatedController
import NVMeSpec
import TestSupport
import Testing

@testable import Block
@testable import NVMe

@Suite struct FlushAndDiscardTests {
  @Test func flushesWhereThereIsAVolatileCache() throws {
    let machine = try TestMachine()
    let device = try machine.openDevice()
    let driver = BlockDriver(device, machine.time)
    #expect(device.hasVolatileCache)
    #expect(driver.run(.flush) == 0)
    #expect(machine.device.statistics.flushes == 1)
    device.close()
  }

  @Test func skipsTheFlushWhereThereIsNone() throws {
    let machine = try TestMachine { $0.volatileWriteCache = false }
    let device = try machine.openDevice()
    let driver = BlockDriver(device, machine.time)
    #expect(!device.hasVolatileCache)
    #expect(driver.run(.flush) == 0)
    #expect(machine.device.statistics.flushes == 0)
    #expect(device.counters.submitted == 0)
    device.close()
  }

  @Test func aForcedWriteIsDurable() throws {
    let machine = try TestMachine(blocks: 8) { $0.records = true }
    let device = try machine.openDevice()
    let driver = BlockDriver(device, machine.time)
    device.arena.pointer(0).storeBytes(of: 77, as: UInt64.self)
    #expect(driver.run(.write, block: 1, count: 1, frames: [0]) == 0)
    #expect(driver.run(.write, block: 2, count: 1, frames: [0], forceUnitAccess: true) == 0)
    let cut = machine.device.recording?.image(namespace: 1, after: PowerCut())
    #expect(cut?.bytes(at: 4096, count: 1) == [0])
    #expect(cut?.bytes(at: 8192, count: 1) == [77])
    device.close()
  }

  @Test func discardsSubmittedTogetherShareACommand() throws {
    let machine = try TestMachine(blocks: 4096, lbaSize: 512)
    let device = try machine.openDevice()
    let driver = BlockDriver(device, machine.time)
    for index in 0..<300 { _ = driver.submit(.discard, block: UInt64(index) * 4, count: 2) }
    #expect(driver.drain())
    #expect(driver.ends.count == 300 && driver.ends.values.allSatisfy { $0 == 0 })
    #expect(device.counters.submitted == 2)
    #expect(machine.device.statistics.blocksDeallocated == 300 * 16)
    device.close()
  }

  @Test func neighbouringDiscardsShareARange() throws {
    let machine = try TestMachine(blocks: 4096)
    let device = try machine.openDevice()
    let driver = BlockDriver(device, machine.time)
    for index in 0..<1_000 { _ = driver.submit(.discard, block: UInt64(index), count: 1) }
    #expect(driver.drain())
    #expect(device.counters.submitted == 1)
    #expect(machine.device.statistics.blocksDeallocated == 1_000)
    device.close()
  }

  @Test func aFailedDiscardFailsAllThatWereInIt() throws {
    let machine = try TestMachine(blocks: 4096)
    let device = try machine.openDevice()
    let driver = BlockDriver(device, machine.time)
    machine.device.faultRules = [
      FaultRule(io: .datasetManagement, .status(Status(.invalidField, doNotRetry: true)))
    ]
    for index in 0..<3 { _ = driver.submit(.discard, block: UInt64(index) * 4, count: 2) }
    #expect(driver.drain())
    #expect(driver.ends.values.allSatisfy { $0 == EOPNOTSUPP })
    device.close()
  }

  /// Under any limits, ranges cover exactly the discarded blocks.
  @Test func deallocationCoversEveryBlockOnce() {
    var random = SplitMix(seed: 21)
    for _ in 0..<500 {
      var limits = Capabilities()
      limits.deallocateRanges = Int.random(in: 1...8, using: &random)
      limits.deallocateRangeBlocks = UInt32.random(in: 8...200, using: &random)
      limits.deallocateBlocks = UInt64.random(in: 8...600, using: &random)
      var deallocation = Deallocation(limits, lbasPerBlock: 8)
      var covered: [UInt64: Int] = [:]
      var block = UInt64.random(in: 0..<100, using: &random)
      var remaining = UInt32.random(in: 1...90, using: &random)
      let wanted = block..<block + UInt64(remaining)
      while remaining > 0 {
        guard let number = deallocation.begin() else { break }
        while remaining > 0 {
          let added = deallocation.add(block, remaining)
          if added == 0 { break }
          block += UInt64(added)
          remaining -= added
        }
        let total = deallocation.ranges.reduce(0) { $0 + UInt64($1.blockCount) }
        #expect(!deallocation.ranges.isEmpty && deallocation.ranges.count <= limits.deallocateRanges)
        #expect(total <= limits.deallocateBlocks)
        for range in deallocation.ranges {
          #expect(range.blockCount <= limits.deallocateRangeBlocks)
          for lba in range.startingBlock..<range.startingBlock + UInt64(range.blockCount) {
            covered[lba, default: 0] += 1
          }
        }
        _ = deallocation.end(number)
      }
      #expect(covered.count == wanted.count * 8)
      #expect(covered.allSatisfy { $0.value == 1 && wanted.contains($0.key / 8) })
    }
  }
}
