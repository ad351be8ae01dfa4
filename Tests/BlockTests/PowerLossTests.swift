import DriverTestSupport
import EmulatedController
import Glibc
import NVMe
import NVMeSpec
import TestSupport
import Testing

@testable import Block

/// A device that loses power while it is used: unflushed writes are read back, and a flush succeeds only when
/// all the writes that it covers are there.
@Suite struct PowerLossTests {
  private func open(
    _ configure: (inout EmulatedController.Configuration) -> Void = { _ in }
  ) throws -> (TestMachine, NamespaceDevice, BlockDriver) {
    let machine = try TestMachine {
      $0.records = true
      configure(&$0)
    }
    let device = try machine.openDevice()
    return (machine, device, BlockDriver(device, machine.time))
  }

  /// Fills frame `frame` with a byte.
  private func fill(_ device: NamespaceDevice, _ frame: UInt32, _ byte: UInt8) {
    memset(device.arena.pointer(frame), Int32(byte), 4096)
  }

  @Test("A flush fails after a write was lost; reads still succeed")
  func lost() throws {
    let (machine, device, driver) = try open()
    fill(device, 0, 7)
    #expect(driver.run(.write, block: 0, count: 1, frames: [0]) == 0)
    machine.device.show(.losePower)
    #expect(driver.run(.flush) == EIO)
    #expect(driver.run(.write, block: 0, count: 1, frames: [0]) == EIO)
    #expect(driver.run(.writeZeroes, block: 0, count: 1) == EIO)
    #expect(driver.run(.discard, block: 0, count: 1) == EIO)
    #expect(driver.run(.read, block: 0, count: 1, frames: [1]) == 0)
    #expect(device.controller.counters.powerLosses == 1)
    #expect(device.loss == "block 0")
    device.close()
    #expect(machine.device.mappedArenas == 0)
    let again = try machine.openDevice()
    #expect(BlockDriver(again, machine.time).run(.flush) == 0)
    again.close()
  }

  @Test("A loss of power that lost no data causes no error", arguments: [true, false])
  func kept(hasCache: Bool) throws {
    let (machine, device, driver) = try open { $0.volatileWriteCache = hasCache }
    for block in 0..<100 {
      fill(device, UInt32(block % 40), UInt8(block))
      #expect(driver.run(.write, block: UInt64(block), count: 1, frames: [UInt32(block % 40)]) == 0)
    }
    try machine.device.cutPower(PowerCut(survivors: .all))
    #expect(driver.run(.flush) == 0)
    #expect(driver.run(.write, block: 0, count: 1, frames: [0]) == 0)
    #expect(device.controller.counters.powerLosses == 1 && device.loss == nil)
    device.close()
    #expect(machine.device.mappedArenas == 0)
  }

  @Test("A flush that a loss of power interrupts fails when a write it covers was lost")
  func overtaken() throws {
    let (machine, device, driver) = try open()
    fill(device, 0, 7)
    #expect(driver.run(.write, block: 9, count: 1, frames: [0]) == 0)
    machine.device.faultRules = [FaultRule(io: .flush, .losePower, limit: 1)]
    // The count of a flush is ignored.
    #expect(driver.run(.flush, count: 3) == EIO)
    #expect(device.loss == "block 9")
    device.close()
  }

  @Test(
    "A flush that is carried out again ends once, whatever its count", arguments: [0, 3] as [UInt32])
  func anyCount(count: UInt32) throws {
    let (machine, device, driver) = try open { $0.records = false }
    fill(device, 0, 7)
    #expect(driver.run(.write, block: 9, count: 1, frames: [0]) == 0)
    machine.device.faultRules = [FaultRule(io: .flush, .losePower, limit: 1)]
    #expect(driver.run(.flush, count: count) == 0)
    #expect(device.controller.cacheLosses == 1 && device.loss == nil && device.underWay == (0, 0))
    device.close()
  }

  @Test("A write of several commands whose first was lost is carried out again as a whole")
  func halfDone() throws {
    let machine = try TestMachine {
      $0.records = true
      $0.maximumTransfer = 1
    }
    let device = try machine.openDevice()
    let driver = BlockDriver(device, machine.time)
    for frame in 0..<64 { fill(device, UInt32(frame), UInt8(frame + 1)) }
    machine.device.faultRules = [FaultRule(io: .write, blocks: 30..<31, .losePower, limit: 1)]
    #expect(driver.run(.write, block: 0, count: 64, frames: (0..<64).map { UInt32($0) }) == 0)
    #expect(driver.run(.flush) == 0)
    #expect(device.loss == nil)
    try machine.device.cutPower(PowerCut())
    for block in 0..<64 {
      #expect(driver.run(.read, block: UInt64(block), count: 1, frames: [0]) == 0)
      #expect(device.arena.pointer(0).load(as: UInt8.self) == UInt8(block + 1))
    }
    device.close()
  }

  @Test(
    "A write that was carried out but not reported does not make the blocks it replaced count as lost",
    arguments: [false, true])
  func overwritten(isFlushed: Bool) throws {
    let (machine, device, driver) = try open()
    fill(device, 0, 7)
    fill(device, 1, 8)
    #expect(driver.run(.write, block: 9, count: 1, frames: [0]) == 0)
    if isFlushed { #expect(driver.run(.flush) == 0) }
    machine.device.faultRules = [FaultRule(io: .write, .loseCompletion, limit: 1)]
    let tag = try #require(driver.submit(.write, block: 9, count: 1, frames: [1]))
    device.ring()
    for _ in 0..<4 { driver.poll() }
    #expect(driver.ends[tag] == nil)
    try machine.device.cutPower(PowerCut(survivors: .all))
    #expect(driver.drain() && driver.ends[tag] == 0)
    #expect(driver.run(.flush) == 0 && device.loss == nil)
    #expect(device.controller.cacheLosses == 1)
    device.close()
  }

  @Test("A request fails after a bounded number of losses of power")
  func again() throws {
    let (machine, device, driver) = try open()
    machine.device.faultRules = [FaultRule(io: .write, .losePower)]
    #expect(driver.run(.write, block: 9, count: 1, frames: [0]) == EIO)
    machine.device.faultRules = []
    #expect(driver.run(.write, block: 9, count: 1, frames: [0]) == 0)
    device.close()
  }

  /// Writes, discards, flushes and losses of power in any order: a device that passes the proof holds the
  /// last data written, and one that does not lacks some.
  @Test("A proof fails exactly when a write was lost", arguments: 0..<100)
  func anything(seed: Int) throws {
    var random = SplitMix(seed: UInt64(seed))
    let (machine, device, driver) = try open { $0.maximumTransfer = seed % 2 == 0 ? 1 : 5 }
    // The expected content of each block; nil after a discard.
    var model = [UInt8?](repeating: nil, count: 64)
    var byte: UInt8 = 0
    for _ in 0..<200 where device.loss == nil {
      let block = Int(random.next() % 64)
      let count = min(Int(random.next() % 8) + 1, 64 - block)
      switch random.next() % 20 {
      case 0..<12:
        byte = byte == 255 ? 1 : byte + 1
        fill(device, 0, byte)
        let end = driver.run(
          .write, block: UInt64(block), count: UInt32(count), frames: Array(repeating: 0, count: count),
          forceUnitAccess: random.next() % 4 == 0)
        guard end == 0 else { break }
        for offset in 0..<count { model[block + offset] = byte }
      case 12..<15: _ = driver.run(.flush)
      case 15..<17:
        guard driver.run(.discard, block: UInt64(block), count: UInt32(count)) == 0 else { break }
        for offset in 0..<count { model[block + offset] = nil }
      default:
        let survivors: PowerCut.Survivors = random.next() % 3 == 0 ? .seeded(random.next()) : .all
        // Writes in flight, any of which the device may have carried out.
        var underWay: [(tag: UInt64, block: Int, byte: UInt8)] = []
        for number in 0..<Int(random.next() % 4) {
          byte = byte == 255 ? 1 : byte + 1
          let (frame, place) = (UInt32(10 + number), number * 16 + Int(random.next() % 16))
          fill(device, frame, byte)
          if let tag = driver.submit(.write, block: UInt64(place), count: 1, frames: [frame]) {
            underWay.append((tag, place, byte))
          }
        }
        if random.next() % 2 == 0 {
          device.ring()
          machine.device.faultRules = [
            FaultRule(io: .write, .loseCompletion, skipping: Int(random.next() % 3), limit: 2)
          ]
          for _ in 0..<random.next() % 4 { driver.poll() }
        }
        try machine.device.cutPower(PowerCut(survivors: survivors, tears: random.next() % 2 == 0))
        machine.device.faultRules = []
        #expect(driver.drain())
        for write in underWay { model[write.block] = driver.ends[write.tag] == 0 ? write.byte : nil }
        _ = driver.run(.flush)
      }
    }
    var isWhole = true
    for block in 0..<64 {
      guard let byte = model[block] else { continue }
      #expect(driver.run(.read, block: UInt64(block), count: 1, frames: [1]) == 0)
      let found = UnsafeRawBufferPointer(start: device.arena.pointer(1), count: 4096)
      if !found.allSatisfy({ $0 == byte }) { isWhole = false }
    }
    #expect(isWhole == (device.loss == nil))
    device.close()
    #expect(machine.device.mappedArenas == 0)
  }

  @Test("Another controller in the same place is not accepted")
  func replaced() throws {
    let (machine, device, driver) = try open()
    #expect(driver.run(.write, block: 0, count: 1, frames: [0]) == 0)
    machine.device.show(.replace(serialNumber: "ANOTHER"))
    #expect(driver.run(.write, block: 1, count: 1, frames: [0]) == ENODEV)
    #expect(driver.run(.read, block: 1, count: 1, frames: [0]) == ENODEV)
    device.close()
  }
}

/// The record of unflushed writes.
@Suite struct UnflushedWritesTests {
  private func entry(_ block: UInt64, _ count: UInt32 = 1, isData: Bool = true) -> UnflushedWrites.Entry {
    UnflushedWrites.Entry(block: block, count: count, checksum: 0, isData: isData)
  }

  @Test("More than the ring holds cannot be proved until it is flushed")
  func overflow() {
    var writes = UnflushedWrites()
    for block in 0..<UnflushedWrites.capacity { writes.append(entry(block)) }
    let (isFullComplete, needsFlush, first) = (writes.isComplete, writes.needsFlush, writes.first)
    #expect(isFullComplete && needsFlush && first == 0)
    writes.append(entry(1))
    let isOverflownComplete = writes.isComplete
    #expect(!isOverflownComplete)
    writes.markFlushed(before: 1)
    let isPartComplete = writes.isComplete
    #expect(isPartComplete)
    writes.markFlushed(before: writes.end)
    let (stillWants, witnesses) = (writes.needsFlush, writes.end - writes.first)
    #expect(!stillWants && witnesses == UnflushedWrites.witnesses)
  }

  @Test("A block that was written or discarded again is outdated")
  func outdated() {
    var writes = UnflushedWrites()
    for block: UInt64 in [5, 6, 5] { writes.append(entry(block)) }
    writes.append(entry(6, 10, isData: false))
    let outdated = (0..<3).map { writes.isOutdated($0) }
    #expect(outdated == [true, true, false])
  }

  @Test("A write without a checksum has to be flushed first")
  func unprovable() {
    var writes = UnflushedWrites()
    writes.appendUnprovable(3, 4)
    writes.append(entry(1))
    let isComplete = writes.isComplete
    #expect(!isComplete)
    writes.markFlushed(before: 1)
    let isLaterComplete = writes.isComplete
    #expect(isLaterComplete)
  }
}
