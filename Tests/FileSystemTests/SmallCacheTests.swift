import FileProtocol
import Simulation
import Testing

/// Many requests at once with the smallest cache.
@Suite struct SmallCacheTests {
  @Test("many directories are listed at once, and all of their inodes have to be read")
  func listings() throws {
    let mounted = try Mounted(slots: 24)
    var directories: [UInt64] = []
    for index in 0..<24 {
      let directory = try mounted.makeDirectory("d\(index)")
      directories.append(directory)
      for file in 0..<200 {
        try mounted.call(
          Call(.mknod, node: directory, name: "f\(file)").with { $0.mode = FileType.regular | 0o644 })
      }
    }
    try mounted.remount()
    for directory in directories {
      _ = try mounted.path("d\(directories.firstIndex(of: directory) ?? 0)")
    }
    for directory in directories {
      _ = try mounted.harness.begin(Call(.readdirplus, node: directory).with { $0.length = 65536 })
    }
    while mounted.harness.underWay > 0 { try mounted.harness.step() }
  }

  /// Makes changes that fit easily in a large cache and not at all in a small one.
  private static func filled() throws -> Mounted {
    let mounted = try Mounted(megabytes: 600, frames: 32768)
    for index in 0..<6500 {
      let file = try mounted.makeFile("f\(index)")
      try mounted.write(file, pattern(index % 13 * 500, seed: UInt64(index)))
      if index % 5 == 0, index > 0 { try mounted.unlink("f\(index - 1)") }
    }
    try mounted.sync(1)
    return mounted
  }

  @Test("a log that needs more memory than the cache has is replayed with checkpoints in between")
  func aLongLog() throws {
    let mounted = try Self.filled()
    try mounted.harness.idle(6_000_000_000)
    try mounted.crash(frames: 2048)
    #expect(try mounted.list().count == 6500 - 1299)
    for index in stride(from: 0, to: 6500, by: 37) where index % 5 != 4 {
      let data = try mounted.read(try mounted.path("f\(index)"), count: 8192)
      let isWhole = data == pattern(index % 13 * 500, seed: UInt64(index))
      #expect(isWhole, "f\(index)")
    }
    try mounted.remount()
    #expect(ImageReader.fault(mounted.harness.disk.image) == nil)
  }

  @Test("a log that needs more memory than the cache has is refused by a read-only mount")
  func aLongLogOnlyRead() throws {
    var options = Options()
    options.readOnly = true
    let mounted = try Self.filled()
    #expect {
      try mounted.crash(frames: 2048, options)
    } throws: {
      "\($0)".contains("larger cache")
    }
  }
}
