import Format
import Glibc
import Simulation
import Testing

import FileProtocol
@testable import FileSystem

/// Writes that are lost affect only their file, and a failed log write takes no space.
@Suite("Lost writes") struct LostWriteTests {
  /// A mount in whose file `f` a block was overwritten, and whose memory no longer holds the map of `f`.
  private static func overwritten(frames: Int = 2048) throws -> (Mounted, file: UInt64) {
    let mounted = try Mounted(megabytes: 128, frames: frames)
    try mounted.write(try mounted.makeFile("f"), pattern(1_200_000))
    let directory = try mounted.makeDirectory("many")
    for index in 0..<frames * 5 / 4 {
      try mounted.call(
        Call(.mknod, node: directory, name: "\(index)").with { $0.mode = FileType.regular | 0o644 })
    }
    try mounted.remount()
    let file = try mounted.path("f")
    #expect(try mounted.write(file, pattern(8192, seed: 2), at: 40_960) == 0)
    for index in 0..<frames * 5 / 4 { _ = try mounted.path("many/\(index)") }
    return (mounted, file)
  }

  @Test(
    "The block with a dirty page's map entry stays in memory, so that later damage to it on the device does no harm"
  )
  func damagedMap() throws {
    let (mounted, file) = try Self.overwritten()
    mounted.harness.disk.faults = [DiskFault(.read, count: 1000)]
    #expect(try mounted.sync(file) == 0)
    mounted.harness.disk.faults = []
    try mounted.remount()
    #expect(try mounted.read(try mounted.path("f"), at: 40_960, count: 8192) == pattern(8192, seed: 2))
  }

  @Test(
    "A file whose writes were lost fails its own fsync, for as long as it may be open"
  )
  func givenUp() throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    try mounted.write(file, pattern(1_200_000))
    try mounted.sync(file)
    let other = try mounted.makeFile("other")
    try mounted.write(other, pattern(20_000))
    try mounted.write(file, pattern(8192, seed: 2), at: 40_960)
    mounted.fileSystem?.pages.loseWrites(NodeID(raw: file).number)
    #expect(try mounted.sync(file) == EIO)
    try mounted.harness.idle(1_000_000)
    #expect(mounted.fileSystem?.notices.contains { $0.hasPrefix("/f: ") && $0.contains("are lost") } == true)
    #expect(mounted.fileSystem?.state.dirtyDataBytes == 20480)
    #expect(try mounted.sync(other) == 0)
    #expect(mounted.fileSystem?.state.isReadOnly == false)
    #expect(try mounted.read(file, count: 1_200_000) == pattern(1_200_000))
    #expect(try mounted.write(file, pattern(100)) == 0)
    #expect(try mounted.sync(file) == EIO)
    try mounted.remount()
    #expect(ImageReader.fault(mounted.harness.disk.image) == nil)
    #expect(try mounted.read(try mounted.path("other"), count: 30_000) == pattern(20_000))
    #expect(try mounted.sync(try mounted.path("f")) == 0)
  }

  @Test(
    "After a failed write-back of mapped memory to a full disk every fsync fails until the bytes are written"
  )
  func storesThatCannotBeWrittenBack() throws {
    let mounted = try Mounted(megabytes: 40)
    let file = try mounted.makeFile("f")
    try mounted.change(file, .size(1 << 20))
    try mounted.sync(file)
    let other = try mounted.makeFile("other")
    var blocks: UInt64 = 0
    while try mounted.write(other, pattern(4096), at: blocks * 4096) == 0 { blocks += 1 }
    let store = Call(.write, node: file).with {
      $0.offset = 65536
      $0.payload = pattern(4096)
      $0.isWriteback = true
    }
    #expect(try mounted.call(store).error == ENOSPC)
    for _ in 0..<3 { #expect(try mounted.sync(file) == ENOSPC) }
    #expect(try mounted.sync(other) == 0)
    try mounted.change(other, .size(0))
    try mounted.settle()
    #expect(try mounted.sync(file) == ENOSPC)
    #expect(try mounted.call(store).error == 0)
    #expect(try mounted.sync(file) == 0)
    #expect(try mounted.read(file, at: 65536, count: 4096) == pattern(4096))
  }

  @Test(
    "Neither the background commit nor a checkpoint nor the unmount waits for lost writes",
    arguments: [false, true])
  func background(stops: Bool) throws {
    let (mounted, _) = try Self.overwritten()
    let other = try mounted.makeFile("other")
    try mounted.write(other, pattern(20_000))
    mounted.harness.disk.faults = [DiskFault(.read, count: 40)]
    if !stops { try mounted.settle() }
    try mounted.remount()
    #expect(try mounted.read(try mounted.path("other"), count: 30_000) == pattern(20_000))
    try mounted.harness.unmount()
    #expect(ImageReader.fault(mounted.harness.disk.image) == nil)
  }

  @Test("Replacing a file by one whose writes were lost fails, and the old one stays")
  func replacing() throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    try mounted.write(file, pattern(50_000))
    let old = try mounted.makeFile("old")
    try mounted.write(old, pattern(100, seed: 9))
    try mounted.sync(old)
    mounted.fileSystem?.pages.loseWrites(NodeID(raw: file).number)
    try mounted.write(file, pattern(4096))
    #expect(try mounted.rename("f", to: "old") == EIO)
    #expect(try mounted.read(try mounted.path("old"), count: 200) == pattern(100, seed: 9))
  }

  @Test("Failed log writes leave no block and no segment taken", arguments: [1, 2, 5])
  func space(failures: Int) throws {
    let mounted = try Mounted(megabytes: 128)
    let file = try mounted.makeFile("f")
    try mounted.write(file, pattern(3_000_000))
    try mounted.sync(file)
    try mounted.settle()
    let (space, segments) = (try mounted.space, try #require(mounted.fileSystem?.state.freeSegments))
    for round in 0..<failures {
      mounted.harness.disk.faults = [DiskFault(.write, skip: round, count: 1)]
      try mounted.write(file, pattern(3_000_000, seed: UInt64(round)))
      // Some of the pages being written are truncated, some overwritten.
      if round % 2 == 1 {
        var change = AttributeChange()
        change.size = 1_000_000
        try mounted.change(file, change)
        try mounted.write(file, pattern(2_000_000, seed: 77), at: 1_000_000)
      }
      #expect(try mounted.sync(file) == 0)
      mounted.harness.disk.faults = []
    }
    // Checkpoints, until the empty segments are free.
    for _ in 0..<4 {
      try mounted.write(file, pattern(4096))
      try mounted.settle()
    }
    #expect(try mounted.space == space)
    #expect(try #require(mounted.fileSystem?.state.freeSegments) + 3 >= segments)
    try mounted.harness.unmount()
    #expect(ImageReader.fault(mounted.harness.disk.image) == nil)
  }
}
