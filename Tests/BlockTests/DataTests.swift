import DriverTestSupport
import CMachine
import EmulatedController
import NVMe
import NVMeSpec
import PCI
import TestSupport
import Testing

@testable import Block

/// Reads and writes of any shape against a model of what the namespace must hold.
@Suite struct DataTests {
  struct Shape: Sendable, CustomTestStringConvertible {
    var lbaSize = 4096
    /// MDTS.
    var mdts: UInt8 = 8
    var queueEntries = 256
    var maximumFrames = 512
    var testDescription: String {
      "\(lbaSize) B, mdts \(mdts), \(queueEntries) entries, \(maximumFrames) frames"
    }
  }

  static let shapes = [
    Shape(), Shape(lbaSize: 512), Shape(mdts: 1), Shape(lbaSize: 512, mdts: 1),
    Shape(mdts: 0, maximumFrames: 2048), Shape(lbaSize: 512, mdts: 2, queueEntries: 2),
    Shape(mdts: 3, queueEntries: 4), Shape(mdts: 0, maximumFrames: 1),
  ]

  @Test(arguments: shapes) func readsBackWhatWasWritten(_ shape: Shape) throws {
    let blocks = 1024
    let machine = try TestMachine(blocks: blocks, lbaSize: shape.lbaSize) { $0.maximumTransfer = shape.mdts }
    machine.options.queueEntries = shape.queueEntries
    machine.options.maximumTransferFrames = shape.maximumFrames
    let device = try machine.openDevice(frames: 700)
    let driver = BlockDriver(device, machine.time)
    var model = [UInt8](repeating: 0, count: blocks)
    var random = SplitMix(seed: UInt64(shape.lbaSize) + UInt64(shape.mdts) + UInt64(shape.maximumFrames))
    var stamp: UInt8 = 0
    for _ in 0..<120 {
      let count = Int.random(in: 1...(Bool.random(using: &random) ? 8 : 600), using: &random)
      let block = Int.random(in: 0...(blocks - count), using: &random)
      let frames = Array((0..<UInt32(700)).shuffled(using: &random).prefix(count))
      if Bool.random(using: &random) {
        for (index, frame) in frames.enumerated() {
          stamp &+= 1
          fill(device.arena, frame, block + index, stamp)
          model[block + index] = stamp
        }
        #expect(driver.run(.write, block: UInt64(block), count: UInt32(count), frames: frames) == 0)
      } else {
        #expect(driver.run(.read, block: UInt64(block), count: UInt32(count), frames: frames) == 0)
        let wrong = frames.indices.first {
          !holds(device.arena, frames[$0], block + $0, model[block + $0])
        }
        #expect(wrong == nil, "block \(block + (wrong ?? 0))")
      }
    }
    #expect(machine.device.dmaFaultCount == 0)
    #expect(device.counters.errors == 0)
    device.close()
  }

  /// A block's content: its number and a stamp, so that a misplaced one is detected; zeros for stamp 0.
  private func word(_ block: Int, _ stamp: UInt8) -> UInt64 {
    stamp == 0 ? 0 : UInt64(block) << 8 | UInt64(stamp)
  }

  /// The words compared: one in every 512 bytes, and the last.
  private let places = Array(stride(from: 0, to: 512, by: 64)) + [511]

  private func fill(_ arena: DMAArena, _ frame: UInt32, _ block: Int, _ stamp: UInt8) {
    let words = arena.pointer(frame).assumingMemoryBound(to: UInt64.self)
    for place in places { words[place] = word(block, stamp) }
  }

  private func holds(_ arena: DMAArena, _ frame: UInt32, _ block: Int, _ stamp: UInt8) -> Bool {
    let words = arena.pointer(frame).assumingMemoryBound(to: UInt64.self)
    return places.allSatisfy { words[$0] == word(block, stamp) }
  }

  @Test func manyCommandsAtOnceEndOnceEach() throws {
    let machine = try TestMachine(blocks: 4096) { $0.maximumTransfer = 2 }
    machine.options.queueEntries = 8
    let device = try machine.openDevice(frames: 64)
    let driver = BlockDriver(device, machine.time)
    var random = SplitMix(seed: 11)
    var accepted = 0
    var refused = 0
    for _ in 0..<1_500 {
      let count = UInt32.random(in: 1...20, using: &random)
      let tag = driver.submit(
        .read, block: UInt64.random(in: 0..<4_000, using: &random), count: count,
        frames: Array(0..<count))
      if tag == nil { refused += 1 } else { accepted += 1 }
    }
    #expect(accepted == NamespaceDevice.commandLimit && refused == 1_500 - accepted)
    #expect(driver.drain())
    #expect(driver.ends.count == accepted && driver.ends.values.allSatisfy { $0 == 0 })
    device.close()
  }

  @Test func refusesBlocksOutsideTheNamespace() throws {
    let machine = try TestMachine(blocks: 16)
    let device = try machine.openDevice()
    let driver = BlockDriver(device, machine.time)
    #expect(device.blockCount == 16)
    #expect(driver.run(.read, block: 15, count: 1, frames: [0]) == 0)
    #expect(driver.run(.read, block: 16, count: 1, frames: [0]) == EIO)
    #expect(driver.run(.write, block: 15, count: 2, frames: [0, 1]) == EIO)
    #expect(driver.run(.read, block: .max, count: 1, frames: [0]) == EIO)
    #expect(driver.run(.discard, block: 0, count: 17) == EIO)
    #expect(driver.run(.read, block: 0, count: 0, frames: [0]) == EIO)
    #expect(driver.run(.read, block: 0, count: 1) == EIO)
    device.close()
  }

  @Test func writesZeroes() throws {
    let machine = try TestMachine(blocks: 64)
    let device = try machine.openDevice(frames: 32)
    let driver = BlockDriver(device, machine.time)
    for frame in UInt32(0)..<32 { fill(device.arena, frame, Int(frame), 9) }
    #expect(driver.run(.write, block: 0, count: 32, frames: Array(0..<32)) == 0)
    #expect(driver.run(.writeZeroes, block: 3, count: 20) == 0)
    #expect(driver.run(.read, block: 0, count: 32, frames: Array(0..<32)) == 0)
    for frame in UInt32(0)..<32 {
      #expect(holds(device.arena, frame, Int(frame), (3..<23).contains(frame) ? 0 : 9))
    }
    device.close()
  }

  @Test func severalNamespacesAtOnce() throws {
    let machine = try TestMachine(blocks: 32, namespaces: 2)
    let controller = try machine.open()
    let first = try NamespaceDevice(controller: controller, namespace: 1, arenaFrames: 4)
    let second = try NamespaceDevice(controller: controller, namespace: 2, arenaFrames: 4)
    fill(first.arena, 0, 5, 1)
    fill(second.arena, 0, 5, 2)
    let drivers = [BlockDriver(first, machine.time), BlockDriver(second, machine.time)]
    for driver in drivers { #expect(driver.run(.write, block: 5, count: 1, frames: [0]) == 0) }
    for driver in drivers { #expect(driver.run(.read, block: 5, count: 1, frames: [1]) == 0) }
    #expect(holds(first.arena, 1, 5, 1) && holds(second.arena, 1, 5, 2))
    first.close()
    #expect(controller.state == .ready)
    second.close()
    #expect(controller.state == .closed)
    #expect(machine.device.dmaFaultCount == 0)
  }

  @Test func aMissingNamespaceIsNamed() throws {
    let machine = try TestMachine()
    let controller = try machine.open()
    let error = #expect(throws: BlockDeviceError.self) {
      try NamespaceDevice(controller: controller, namespace: 7, arenaFrames: 1)
    }
    #expect(error?.errno == ENXIO)
    controller.close()
  }

  @Test func synchronousDeviceCopiesBytes() throws {
    let machine = try TestMachine(blocks: 600, lbaSize: 512)
    let device = SynchronousDevice(try machine.openDevice(frames: 48))
    var random = SplitMix(seed: 5)
    let bytes = random.bytes(100 * 4096)
    try device.write(block: 400, bytes)
    #expect(try device.read(block: 400, count: 100) == bytes)
    #expect(try device.read(block: 499, count: 2) == bytes.suffix(4096) + [UInt8](repeating: 0, count: 4096))
    try device.flush()
    try device.discard(block: 400, count: 10)
    #expect(try device.read(block: 410, count: 90) == Array(bytes[(10 * 4096)...]))
    let error = #expect(throws: BlockDeviceError.self) { try device.read(block: 590, count: 20) }
    #expect(error?.errno == EIO)
    device.close()
  }
}
