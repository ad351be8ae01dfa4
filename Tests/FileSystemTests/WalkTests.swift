import FileProtocol
import Glibc
import Simulation
import Testing

/// Long walks with the smallest cache: the harness checks that nothing waits for ever and that no event does
/// too much work.
@Suite struct WalkTests {
  private static func seek(_ mounted: Mounted, _ node: UInt64, _ whence: UInt32) throws -> Answer {
    try mounted.call(Call(.lseek, node: node).with { $0.flags = whence })
  }

  private static let data: UInt32 = 3
  private static let hole: UInt32 = 4

  /// The result of a request, and how many events it takes.
  private static func counted<T>(_ mounted: Mounted, _ body: () throws -> T) rethrows -> (
    value: T, events: Int
  ) {
    let before = mounted.harness.events
    let value = try body()
    return (value, mounted.harness.events - before)
  }

  @Test("a directory moves below more ancestors than the cache holds, and not below itself")
  func aDeepTree() throws {
    let depth = 2500
    let mounted = try Mounted(megabytes: 256)
    _ = try mounted.makeDirectory("victim")
    var deepest: UInt64 = 1
    for _ in 0..<depth { deepest = try mounted.makeDirectory("d", in: deepest) }
    try mounted.remount()
    deepest = 1
    for _ in 0..<depth { deepest = try #require(try mounted.find("d", in: deepest)) }
    #expect(try mounted.rename("victim", to: "moved", under: deepest) == 0)
    #expect(try mounted.rename("d", to: "e", under: deepest) == EINVAL)
    #expect(try mounted.find("moved", in: deepest) != nil)
  }

  @Test("two directories that are moved at the same time do not end up below each other")
  func movesAtTheSameTime() throws {
    let mounted = try Mounted()
    var ends: [UInt64] = []
    for name in ["a", "b"] {
      var node = try mounted.makeDirectory(name)
      for _ in 0..<1200 { node = try mounted.makeDirectory("d", in: node) }
      ends.append(node)
    }
    var errors: [Int32] = []
    mounted.harness.answered = { _, answer in errors.append(answer.error) }
    for (name, end) in [("a", ends[1]), ("b", ends[0])] {
      _ = try mounted.harness.begin(
        Call(.rename, node: 1, name: name).with {
          $0.otherNode = end
          $0.otherName = Array(name.utf8)
        })
    }
    while mounted.harness.underWay > 0 { try mounted.harness.step() }
    #expect(errors.sorted() == [0, EINVAL])
  }

  @Test("SEEK_DATA and SEEK_HOLE over a preallocated file with more map nodes than the cache holds")
  func seekingPromises() throws {
    let mounted = try Mounted(megabytes: 4096)
    let file = try mounted.makeFile("f")
    #expect(try mounted.allocate(file, 0, 0, 3 << 30) == 0)
    try mounted.remount()
    let again = try mounted.path("f")
    #expect(try Self.seek(mounted, again, Self.data).error == ENXIO)
    #expect(try Self.seek(mounted, again, Self.hole).reply.offset == 0)
    try mounted.write(again, pattern(4096), at: (3 << 30) - 8192)
    #expect(try Self.seek(mounted, again, Self.data).reply.offset == (3 << 30) - 8192)
  }

  @Test("a hole of 16 TiB is skipped at once, and punching it records nothing")
  func aLargeHole() throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    let last = UInt64(1) << 44 - 4096
    try mounted.write(file, pattern(4096), at: last)
    try mounted.sync(file)
    try mounted.settle()
    let found = try Self.counted(mounted) { try Self.seek(mounted, file, Self.data).reply.offset }
    #expect(found.value == last)
    #expect(found.events < 100)
    let before = try #require(mounted.fileSystem?.statistics.logBlocks)
    let punched = try Self.counted(mounted) {
      try mounted.allocate(file, LinuxFlag.punchHole | LinuxFlag.keepSize, 4096, 1 << 42)
    }
    #expect(punched.value == 0)
    #expect(punched.events < 100)
    try mounted.sync(file)
    #expect(mounted.fileSystem?.statistics.logBlocks == before)
    #expect(try mounted.allocate(file, LinuxFlag.punchHole | LinuxFlag.keepSize, 4096, last) == 0)
    #expect(try Self.seek(mounted, file, Self.data).error == ENXIO)
    #expect(try mounted.attributes(file).sectors == 0)
  }

  /// Offsets of blocks that share no lowest map node, and few nodes above.
  private static func apart(_ count: Int) -> [UInt64] {
    (0..<UInt64(count)).map { ($0 &* 2_654_435_761 % (1 << 32)) << 12 }
  }

  @Test("sparse files with more map nodes than the cache holds are overwritten, committed in time and synced")
  func sparseOverwrites() throws {
    let mounted = try Mounted(megabytes: 512)
    let places = Self.apart(1500)
    var files = try (0..<4).map { try mounted.makeFile("f\($0)") }
    for (index, offset) in places.enumerated() {
      #expect(try mounted.write(files[index % 4], pattern(4096, seed: UInt64(index)), at: offset) == 0)
    }
    try mounted.remount()
    files = try (0..<4).map { try mounted.path("f\($0)") }
    for (index, offset) in places.enumerated() {
      #expect(try mounted.write(files[index % 4], pattern(4096, seed: UInt64(index + 7000)), at: offset) == 0)
    }
    try mounted.harness.idle(11_000_000_000)
    #expect(mounted.fileSystem?.uncommittedAge == nil)
    for file in files { #expect(try mounted.sync(file) == 0) }
    try mounted.crash()
    files = try (0..<4).map { try mounted.path("f\($0)") }
    for (index, offset) in places.enumerated() where index % 41 == 0 {
      let isRight =
        try mounted.read(files[index % 4], at: offset, count: 4096)
        == pattern(4096, seed: UInt64(index + 7000))
      #expect(isRight, "block \(index)")
    }
  }

  @Test("thousands of files with something to commit are committed in time, though others keep being written")
  func manyDirtyFiles() throws {
    let mounted = try Mounted(megabytes: 512)
    for index in 0..<2000 {
      let file = try mounted.makeFile("f\(index)")
      #expect(try mounted.write(file, pattern(5000, seed: UInt64(index))) == 0)
      try mounted.harness.forget(file)
    }
    let busy = try mounted.makeFile("busy")
    let end = mounted.harness.clock.now.monotonic + 12_000_000_000
    var round: UInt64 = 0
    while mounted.harness.clock.now.monotonic < end {
      round += 1
      #expect(try mounted.write(busy, pattern(8192, seed: round), at: round % 50 * 8192) == 0)
      try mounted.harness.idle(100_000_000)
      let age = mounted.fileSystem?.uncommittedAge ?? 0
      #expect(age < 6_000_000_000)
    }
    try mounted.crash()
    #expect(try mounted.list().count == 2001)
    for index in stride(from: 0, to: 2000, by: 97) {
      #expect(
        try mounted.read(try mounted.path("f\(index)"), count: 6000) == pattern(5000, seed: UInt64(index)))
    }
  }

  @Test("thousands of orphans are found at a mount and freed")
  func manyOrphans() throws {
    let mounted = try Mounted(megabytes: 256)
    try mounted.settle()
    let before = try mounted.space.free
    for index in 0..<3000 { _ = try mounted.makeFile("f\(index)") }
    for index in 0..<3000 { #expect(try mounted.unlink("f\(index)") == 0) }
    try mounted.sync(1)
    try mounted.crash()
    try mounted.settle()
    let after = try mounted.space.free
    #expect(after + 64 >= before, "\(before) blocks were free, \(after) are")
    try mounted.remount()
    #expect(ImageReader.fault(mounted.harness.disk.image) == nil)
  }

  @Test("a file is truncated again and removed while a detached tree of it is still being freed")
  func cutsDoNotWait() throws {
    let mounted = try Mounted(megabytes: 256)
    try mounted.settle()
    let before = try mounted.space.free
    let file = try mounted.makeFile("f")
    for block in 0..<UInt64(1500) {
      #expect(try mounted.write(file, pattern(4096, seed: block), at: block << 20) == 0)
    }
    try mounted.remount()
    let again = try mounted.path("f")
    for part: UInt64 in [1200, 1000, 700, 600, 300] {
      let cut = try Self.counted(mounted) { try mounted.change(again, .size(part << 20)) }
      #expect(cut.value == 0)
      #expect(cut.events < 150, "\(part)")
    }
    // The detached tree is on the disk now.
    try mounted.remount()
    #expect(ImageReader.fault(mounted.harness.disk.image) == nil)
    let left = try mounted.path("f")
    #expect(try mounted.read(left, at: 299 << 20, count: 4096) == pattern(4096, seed: 299))
    #expect(try mounted.change(left, .size(400 << 20)) == 0)
    #expect(try mounted.read(left, at: 350 << 20, count: 4096).allSatisfy { $0 == 0 })
    let removed = try Self.counted(mounted) { try mounted.unlink("f") }
    #expect(removed.value == 0)
    #expect(removed.events < 150)
    try mounted.harness.forget(left)
    try mounted.settle()
    try mounted.remount()
    let after = try mounted.space.free
    #expect(after + 64 >= before, "\(before) blocks were free, \(after) are")
  }

  @Test("recovery replays several truncations of one file")
  func recoveryRepeatsCuts() throws {
    let mounted = try Mounted(megabytes: 128)
    try mounted.settle()
    let before = try mounted.space.free
    let file = try mounted.makeFile("f")
    for round in 0..<4 {
      for block in 0..<UInt64(40) {
        #expect(try mounted.write(file, pattern(4096, seed: block), at: block << 20) == 0)
      }
      try mounted.sync(file)
      #expect(try mounted.change(file, .size(round % 2 == 0 ? 0 : 20 << 20)) == 0)
    }
    try mounted.sync(file)
    try mounted.crash()
    try mounted.unlink("f")
    try mounted.settle()
    try mounted.remount()
    #expect(ImageReader.fault(mounted.harness.disk.image) == nil)
    let after = try mounted.space.free
    #expect(after + 64 >= before, "\(before) blocks were free, \(after) are")
  }

  @Test(
    "a truncation of a file whose pages fill the cache is done in steps, while another request reads them")
  func cuttingCachedFiles() throws {
    let mounted = try Mounted(megabytes: 256, frames: 8192)
    let file = try mounted.makeFile("f")
    for part in 0..<UInt64(20) {
      #expect(try mounted.write(file, pattern(1 << 20, seed: part), at: part << 20) == 0)
    }
    try mounted.settle()
    for block in 0..<UInt64(5000) { _ = try mounted.read(file, at: block << 12 + 100, count: 1) }
    var data: [UInt8]?
    var errors: [Int32] = []
    mounted.harness.answered = { _, answer in
      errors.append(answer.error)
      if !answer.data.isEmpty { data = answer.data }
    }
    _ = try mounted.harness.begin(Call(.setattr, node: file).with { $0.change = .size(10 << 20) })
    _ = try mounted.harness.begin(
      Call(.read, node: file).with {
        $0.offset = 19 << 20
        $0.length = 4096
      })
    while mounted.harness.underWay > 0 { try mounted.harness.step() }
    #expect(errors == [0, 0])
    #expect(data == nil || data == Array(pattern(1 << 20, seed: 19).prefix(4096)))
    #expect(try mounted.change(file, .size(20 << 20)) == 0)
    #expect(try mounted.read(file, at: 10 << 20, count: 1 << 20).allSatisfy { $0 == 0 })
    #expect(try mounted.read(file, at: 9 << 20, count: 1 << 20) == pattern(1 << 20, seed: 9))
  }
}
