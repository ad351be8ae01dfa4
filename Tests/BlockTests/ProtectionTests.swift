import Block
import BlockProtocol
import CMachine
import DriverTestSupport
import EmulatedController
import Foundation
import NVMe
import NVMeSpec
import TestSupport
import Testing

@Suite struct ProtectionTests {
  struct Format: CustomTestStringConvertible {
    var lbaSize: Int
    var metadataSize: Int
    var type: UInt8
    var testDescription: String { "\(lbaSize)+\(metadataSize), type \(type)" }
  }

  static let formats = [512, 4096].flatMap { lbaSize in
    [8, 16, 64].flatMap { metadata in
      (UInt8(0)...3).map { Format(lbaSize: lbaSize, metadataSize: metadata, type: $0) }
    }
  }

  private func machine(
    _ format: Format, medium: EmulatedController.Namespace.Medium = .memory(bytes: 128 * 4096)
  ) throws -> TestMachine {
    try TestMachine(lbaSize: format.lbaSize) {
      var namespace = EmulatedController.Namespace(medium, blockSize: format.lbaSize)
      namespace.metadataSize = format.metadataSize
      namespace.protectionType = format.type
      $0.namespaces = [namespace]
    }
  }

  @Test(arguments: formats) func writtenDataReadsBack(_ format: Format) throws {
    var random = SplitMix(seed: 21)
    let machine = try machine(format)
    let device = try machine.openDevice(frames: 64)
    let driver = BlockDriver(device, machine.time)
    var model = [UInt64](repeating: 0, count: Int(device.blockCount))
    for round in 1...150 {
      let count = Int.random(in: 1...20, using: &random)
      let block = Int.random(in: 0...model.count - count, using: &random)
      let frames = (0..<UInt32(64)).shuffled(using: &random).prefix(count)
      let range = block..<block + count
      switch Int.random(in: 0..<6, using: &random) {
      case 0...2:
        for (index, frame) in frames.enumerated() {
          model[block + index] = random.next()
          fill(device.arena.pointer(frame), model[block + index])
        }
        #expect(driver.run(.write, block: UInt64(block), count: UInt32(count), frames: Array(frames)) == 0)
      case 3:
        #expect(driver.run(.discard, block: UInt64(block), count: UInt32(count)) == 0)
        for index in range { model[index] = 0 }
      case 4:
        #expect(driver.run(.writeZeroes, block: UInt64(block), count: UInt32(count)) == 0)
        for index in range { model[index] = 0 }
      default:
        #expect(driver.run(.read, block: UInt64(block), count: UInt32(count), frames: Array(frames)) == 0)
        #expect(frames.map { value(device.arena.pointer($0)) } == range.map { model[$0] }, "round \(round)")
      }
    }
    #expect(device.counters.protectionErrors == 0 && device.errors.isEmpty)
    device.close()
    #expect(machine.device.dmaFaultCount == 0)
  }

  /// Fills a block with words derived from a seed; 0 gives zeros.
  private func fill(_ block: UnsafeMutableRawPointer, _ seed: UInt64) {
    for index in 0..<512 {
      block.storeBytes(of: seed &* UInt64(index + 1), toByteOffset: 8 * index, as: UInt64.self)
    }
  }

  /// The seed that a block was filled with; nil where it was not filled so.
  private func value(_ block: UnsafeMutableRawPointer) -> UInt64? {
    let seed = block.load(as: UInt64.self)
    let isWhole = (0..<512).allSatisfy {
      block.load(fromByteOffset: 8 * $0, as: UInt64.self) == seed &* UInt64($0 + 1)
    }
    return isWhole ? seed : nil
  }

  @Test(arguments: formats.filter { $0.type > 0 }, [BlockCommand.Operation.read, .write])
  func aFlippedBitIsNamed(_ format: Format, _ operation: BlockCommand.Operation) throws {
    let machine = try machine(format)
    let device = try machine.openDevice()
    let driver = BlockDriver(device, machine.time)
    #expect(driver.run(.write, block: 0, count: 4, frames: [0, 1, 2, 3]) == 0)
    machine.device.faultRules = [FaultRule(io: operation == .read ? .read : .write, .flipBit)]
    #expect(driver.run(operation, block: 0, count: 4, frames: [4, 5, 6, 7]) == EILSEQ)
    #expect(device.errors.last?.status.code == .guardCheckError)
    #expect((device.counters.protectionErrors > 0) == (operation == .read))
    // A bit that flips once is right at the retry.
    machine.device.faultRules = [FaultRule(io: operation == .read ? .read : .write, .flipBit, limit: 1)]
    let retries = device.counters.retries
    #expect(driver.run(operation, block: 0, count: 4, frames: [4, 5, 6, 7]) == 0)
    #expect(device.counters.retries == retries + 1)
    device.close()
  }

  @Test func aMisplacedBlockIsFound() throws {
    let path = FileManager.default.temporaryDirectory.appending(path: "varve-protection-\(getpid()).img").path
    defer { unlink(path) }
    #expect(FileManager.default.createFile(atPath: path, contents: Data(count: 64 * 4096)))
    let format = Format(lbaSize: 4096, metadataSize: 8, type: 1)
    let machine = try machine(format, medium: .image(path: path))
    let device = try machine.openDevice()
    let blocks = Int(device.blockCount)
    let driver = BlockDriver(device, machine.time)
    for block in 0..<2 {
      fill(device.arena.pointer(0), UInt64(block + 1))
      #expect(driver.run(.write, block: UInt64(block), count: 1, frames: [0], forceUnitAccess: true) == 0)
    }
    device.close()
    // The image outlives its controller, metadata and all; swap the two blocks.
    var image = try Data(contentsOf: URL(fileURLWithPath: path))
    let (first, second) = (image[0..<4096], image[4096..<8192])
    image.replaceSubrange(0..<8192, with: second + first)
    let tuples = blocks * 4096
    let (one, two) = (image[tuples..<tuples + 8], image[tuples + 8..<tuples + 16])
    image.replaceSubrange(tuples..<tuples + 16, with: two + one)
    try image.write(to: URL(fileURLWithPath: path))
    let again = try self.machine(format, medium: .image(path: path))
    let other = try again.openDevice()
    #expect(BlockDriver(other, again.time).run(.read, block: 0, count: 1, frames: [0]) == EILSEQ)
    #expect(other.errors.last?.status.code == .referenceTagCheckError)
    other.close()
  }
}
