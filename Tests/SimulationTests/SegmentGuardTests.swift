import BlockProtocol
import FileProtocol
import FileSystem
import Format
import Testing

@testable import Simulation

/// The model of space with writes that no filesystem may make.
@Suite struct SegmentGuardTests {
  /// A disk with a few files, unmounted in order.
  private static func image() throws -> DiskImage {
    let memory = SimulatedMemory()
    let disk = SimulatedDisk(try DiskImage.formatted(pool: BlockPool(), blockCount: 16384, seed: 1))
    let harness = Harness(service: FileSystem.simulated(memory, disk), disk: disk, memory: memory)
    try harness.mount()
    for index in 0..<20 {
      _ = try harness.ask(
        Call(.create, node: 1, name: "f\(index)").with { $0.mode = FileType.regular | 0o644 })
    }
    try harness.unmount()
    return disk.image
  }

  @Test func nothingIsWrittenOverWhatCheckpointsNeed() throws {
    let image = try Self.image()
    let sealed = try SealedImage(image)
    let geometry = sealed.geometry
    let root = try #require(sealed.entry(.inodeTable, level: -1, index: 1)).address
    let used = try #require(geometry.segment(of: root))
    for operation in [BlockCommand.Operation.write, .discard] {
      for segment in [used, geometry.segmentCount - 1] {
        let space = try #require(SegmentGuard(image))
        let command = BlockCommand(
          operation, block: geometry.segmentBlock(segment), count: geometry.segmentBlocks, tag: 0)
        let fault = space.observe(command, [], image: image, durable: image)
        #expect((fault != nil) == (segment == used))
      }
    }
  }
}
