import FileProtocol
import Simulation
import Testing

/// The bytes of a disk with a filesystem that has been written to.
enum WrittenFilesystem {
  private static let blockCount: UInt64 = 16384

  /// A directory of 300 files and a file of several pieces, unmounted; or, when `crashes`, these and one more
  /// file synced to the log, and no checkpoint.
  static func bytes(crashes: Bool) throws -> [UInt8] {
    let disk = SimulatedDisk(try DiskImage.formatted(pool: BlockPool(), blockCount: blockCount))
    let memory = SimulatedMemory()
    let scenario = try #require(Scenario.all.first)
    let files = Harness(
      service: Mounter.fileSystem().make(memory, disk, scenario), disk: disk, memory: memory)
    try files.mount()
    let folder = try files.make(.mkdir, "folder", in: 1)
    for number in 0..<300 { _ = try files.make(.mknod, "file\(number)", in: folder) }
    let large = try files.make(.mknod, "large", in: 1)
    for piece in [0, 1, 2, 10, 700] as [UInt64] {
      try files.write([UInt8](repeating: 7, count: 4096), to: large, at: piece * 4096)
    }
    if crashes {
      try files.sync(large)
      _ = try files.make(.mknod, "n\"\u{1}", in: 1)
      try files.sync(large)
    } else {
      try files.unmount()
    }
    let image = disk.image
    return (0..<image.blockCount).flatMap { UnsafeRawBufferPointer(start: image.bytes($0), count: 4096) }
  }
}

extension Harness {
  /// Makes a name in a directory and returns its node.
  fileprivate func make(_ operation: Operation, _ name: String, in parent: UInt64) throws -> UInt64 {
    let answer = try call(
      Call(operation, node: parent, name: name).with {
        $0.mode = operation == .mkdir ? 0o755 : 0o100644
      })
    #expect(answer.error == 0)
    return answer.reply.node
  }

  fileprivate func write(_ bytes: [UInt8], to node: UInt64, at offset: UInt64) throws {
    let answer = try call(
      Call(.write, node: node).with {
        $0.payload = bytes
        $0.offset = offset
      })
    #expect(answer.error == 0)
  }

  fileprivate func sync(_ node: UInt64) throws {
    #expect(try call(Call(.fsync, node: node)).error == 0)
  }
}
