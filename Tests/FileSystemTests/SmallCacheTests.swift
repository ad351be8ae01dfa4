import FileSystem
import Simulation
import Testing

/// The smallest cache there may be, and what many requests at once need of it.
@Suite struct SmallCacheTests {
  @Test("many directories are listed at once, all of their inodes having to be read")
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

  @Test("a log that needs more memory than there is ends the mount with words")
  func aLogTooLong() throws {
    let mounted = try Mounted(megabytes: 600, frames: 32768)
    for file in 0..<6500 {
      try mounted.call(Call(.mknod, node: 1, name: "f\(file)").with { $0.mode = FileType.regular | 0o644 })
    }
    try mounted.sync(1)
    #expect {
      try mounted.crash(frames: 2048)
    } throws: {
      "\($0)".contains("larger cache")
    }
  }
}
