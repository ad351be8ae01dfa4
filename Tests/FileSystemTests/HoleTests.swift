import FileProtocol
import Glibc
import Simulation
import Testing

/// Sparse files: holes, SEEK_DATA and SEEK_HOLE, fallocate.
@Suite struct HoleTests {
  private static let data: UInt32 = 3
  private static let hole: UInt32 = 4

  private static func seek(_ mounted: Mounted, _ node: UInt64, _ offset: UInt64, _ whence: UInt32) throws
    -> Answer
  {
    try mounted.call(
      Call(.lseek, node: node).with {
        $0.offset = offset
        $0.flags = whence
      })
  }

  @Test func holesReadAsZerosAndTakeNoRoom() throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    try mounted.write(file, [1], at: 1 << 30)
    try mounted.sync(file)
    #expect(try mounted.attributes(file).size == (1 << 30) + 1)
    #expect(try mounted.attributes(file).sectors <= 64)
    #expect(try mounted.read(file, at: 12345, count: 100_000).allSatisfy { $0 == 0 })
    #expect(try mounted.read(file, at: 1 << 30, count: 10) == [1])
  }

  @Test func seekFindsDataAndHoles() throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    try mounted.write(file, pattern(8192), at: 40960)
    try mounted.write(file, pattern(4096), at: 3 << 20)
    for _ in 0..<2 {
      #expect(try Self.seek(mounted, file, 0, Self.data).reply.offset == 40960)
      #expect(try Self.seek(mounted, file, 41000, Self.data).reply.offset == 41000)
      #expect(try Self.seek(mounted, file, 0, Self.hole).reply.offset == 0)
      #expect(try Self.seek(mounted, file, 41000, Self.hole).reply.offset == 49152)
      #expect(try Self.seek(mounted, file, 49152, Self.data).reply.offset == 3 << 20)
      #expect(try Self.seek(mounted, file, 3 << 20, Self.hole).reply.offset == (3 << 20) + 4096)
      #expect(try Self.seek(mounted, file, (3 << 20) + 4096, Self.data).error == ENXIO)
      #expect(try Self.seek(mounted, file, (3 << 20) + 4096, Self.hole).error == ENXIO)
      try mounted.sync(file)
    }
    let small = try mounted.makeFile("small")
    try mounted.write(small, [1, 2, 3])
    #expect(try Self.seek(mounted, small, 0, Self.data).reply.offset == 0)
    #expect(try Self.seek(mounted, small, 1, Self.hole).reply.offset == 3)
    #expect(try Self.seek(mounted, small, 3, Self.data).error == ENXIO)
  }

  @Test func punching() throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    let bytes = pattern(600_000)
    try mounted.write(file, bytes)
    try mounted.sync(file)
    let before = try mounted.attributes(file).sectors
    #expect(try mounted.allocate(file, LinuxFlag.punchHole | LinuxFlag.keepSize, 1000, 500_000) == 0)
    let expected = bytes[..<1000] + Array(repeating: 0, count: 500_000) + bytes[501_000...]
    #expect(try mounted.read(file, count: 700_000) == Array(expected))
    #expect(try mounted.attributes(file).sectors < before / 2)
    try mounted.remount()
    #expect(try mounted.read(try mounted.path("f"), count: 700_000) == Array(expected))
    #expect(try mounted.allocate(file, LinuxFlag.punchHole, 0, 1) == EOPNOTSUPP)
  }

  @Test func zeroing() throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    let bytes = pattern(100_000)
    try mounted.write(file, bytes)
    #expect(try mounted.allocate(file, LinuxFlag.zeroRange, 50_000, 100_000) == 0)
    #expect(try mounted.attributes(file).size == 150_000)
    #expect(
      try mounted.read(file, count: 200_000) == Array(bytes[..<50_000]) + Array(repeating: 0, count: 100_000))
    #expect(try mounted.allocate(file, LinuxFlag.zeroRange | LinuxFlag.keepSize, 0, 1_000_000) == 0)
    #expect(try mounted.attributes(file).size == 150_000)
  }

  @Test func allocatedRangesReadAsZerosAndNeverRunOutOfSpace() throws {
    let mounted = try Mounted(megabytes: 40)
    let file = try mounted.makeFile("promised")
    let before = try mounted.space.available
    #expect(try mounted.allocate(file, 0, 0, 4 << 20) == 0)
    #expect(try mounted.attributes(file).size == 4 << 20)
    #expect(try mounted.attributes(file).sectors >= 8192)
    #expect(try mounted.space.available <= before - 1024)
    #expect(try mounted.read(file, count: 8192).allSatisfy { $0 == 0 })
    let rest = try mounted.makeFile("rest")
    var offset: UInt64 = 0
    while try mounted.write(rest, pattern(65536), at: offset) == 0 { offset += 65536 }
    for block in 0..<16 {
      #expect(try mounted.write(file, pattern(262_144, seed: UInt64(block)), at: UInt64(block) << 18) == 0)
      #expect(try mounted.sync(file) == 0)
    }
    #expect(try mounted.read(file, at: 15 << 18, count: 262_144) == pattern(262_144, seed: 15))
  }

  @Test func allocationPastTheEndWithKeptSize() throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    #expect(try mounted.allocate(file, LinuxFlag.keepSize, 0, 100_000) == 0)
    #expect(try mounted.attributes(file).size == 0)
    try mounted.write(file, pattern(50_000))
    #expect(try mounted.read(file, count: 100_000) == pattern(50_000))
    #expect(try mounted.allocate(file, 0x8, 0, 4096) == EOPNOTSUPP)
    #expect(try mounted.allocate(file, 0, 0, 0) == EINVAL)
    #expect(try mounted.allocate(file, 0, 1 << 62, 1 << 62) == EFBIG)
  }
}
