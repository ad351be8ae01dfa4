import Block
import DriverTestSupport
import NVMe
import PCI
import TestSupport
import Testing

@Suite struct DataPointerTests {
  private static let blocks = 256

  /// A random list of frames: runs that follow each other, in any order.
  private func frames(_ count: Int, of total: UInt32, _ random: inout SplitMix) -> [UInt32] {
    var runs: [Range<UInt32>] = []
    var start: UInt32 = 0
    while start < total {
      let end = min(start + UInt32.random(in: 1...40, using: &random), total)
      runs.append(start..<end)
      start = end
    }
    return Array(runs.shuffled(using: &random).joined().prefix(count))
  }

  @Test(arguments: [DataPointers.automatic, .prp, .sgl], [true, false])
  func everyListOfFramesArrivesWhole(_ dataPointers: DataPointers, _ takesSGLs: Bool) throws {
    var random = SplitMix(seed: 11)
    let machine = try TestMachine(blocks: Self.blocks) { $0.sgl = takesSGLs }
    machine.options.dataPointers = dataPointers
    let device = try machine.openDevice(frames: 512)
    let driver = BlockDriver(device, machine.time)
    for round in 0..<60 {
      let count = Int.random(in: 1...Self.blocks, using: &random)
      let source = frames(count, of: 512, &random)
      for (index, frame) in source.enumerated() {
        device.arena.pointer(frame).storeBytes(of: UInt64(round * 1000 + index), as: UInt64.self)
      }
      #expect(driver.run(.write, block: 0, count: UInt32(count), frames: source) == 0)
      let target = frames(count, of: 512, &random)
      for frame in target { device.arena.pointer(frame).storeBytes(of: .max, as: UInt64.self) }
      #expect(driver.run(.read, block: 0, count: UInt32(count), frames: target) == 0)
      let read = target.map { device.arena.pointer($0).load(as: UInt64.self) }
      #expect(read == (0..<count).map { UInt64(round * 1000 + $0) })
    }
    // One run of frames is one descriptor.
    #expect(driver.run(.write, block: 0, count: 200, frames: Array(0..<200)) == 0)
    let counters = device.counters
    let mayUse = takesSGLs && dataPointers != .prp
    #expect((counters.sglBlocks > 0) == mayUse)
    #expect((counters.sglSegments > 0) == (takesSGLs && dataPointers == .sgl))
    #expect((counters.prpLists > 0) == !(takesSGLs && dataPointers == .sgl))
    #expect(machine.device.dmaFaultCount == 0)
    device.close()
  }
}
