import FileProtocol
import Glibc
import Simulation
import Testing

/// Files without a name: while they are open, and the freeing of their blocks.
@Suite struct OrphanTests {
  @Test func anOpenFileOutlivesItsName() throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    try mounted.write(file, pattern(100_000))
    try mounted.unlink("f")
    #expect(try mounted.attributes(file).links == 0)
    try mounted.settle()
    #expect(try mounted.read(file, count: 200_000) == pattern(100_000))
    #expect(try mounted.write(file, pattern(1000, seed: 2), at: 100_000) == 0)
    #expect(try mounted.read(file, at: 100_000, count: 2000) == pattern(1000, seed: 2))
    #expect(try mounted.sync(file) == 0)
  }

  @Test(arguments: [false, true])
  func roomComesBackWhenTheLastUserGoes(crashes: Bool) throws {
    let mounted = try Mounted()
    try mounted.settle()
    let before = try mounted.space.free
    for (name, size) in [("a", 3_000_000), ("b", 100_000), ("c", 500)] {
      let file = try mounted.makeFile(name)
      try mounted.write(file, pattern(size))
      try mounted.sync(file)
    }
    for name in ["a", "b", "c"] { try mounted.unlink(name) }
    try mounted.sync(1)
    #expect(try mounted.space.free < before - 700)
    if crashes {
      try mounted.crash()
    } else {
      for node in mounted.harness.lookups.keys.sorted() { try mounted.harness.forget(node) }
    }
    try mounted.settle()
    try mounted.remount()
    let after = try mounted.space.free
    #expect(after + 16 >= before, "\(before) blocks were free, \(after) are")
  }

  @Test func bigFilesGoAtOnceAndTheirRoomLater() throws {
    let mounted = try Mounted(megabytes: 128)
    try mounted.settle()
    let before = try mounted.space.free
    let file = try mounted.makeFile("big")
    for part in 0..<64 {
      try mounted.write(file, pattern(1 << 20, seed: UInt64(part)), at: UInt64(part) << 20)
    }
    try mounted.sync(file)
    #expect(try mounted.change(file, .size(1000)) == 0, "\(mounted.fileSystem?.notices ?? [])")
    try mounted.settle()
    #expect(try mounted.read(file, count: 5000) == Array(pattern(1 << 20, seed: 0).prefix(1000)))
    try mounted.unlink("big")
    try mounted.harness.forget(file)
    try mounted.settle()
    let after = try mounted.space.free
    #expect(after + 64 >= before, "\(before) blocks were free, \(after) are")
  }

  /// Recovery frees the tree that the first truncation detached before it replays the second, whose path
  /// through the map it has not read yet.
  @Test func recoveryCutsAFileTwice() throws {
    let mounted = try Mounted()
    try mounted.settle()
    let before = try mounted.space.free
    let file = try mounted.makeFile("f")
    for part in 0..<4 {
      try mounted.write(file, pattern(1 << 20, seed: UInt64(part)), at: UInt64(part) << 20)
    }
    try mounted.remount()
    let again = try mounted.path("f")
    for blocks: UInt64 in [600, 300] { #expect(try mounted.change(again, .size(blocks << 12)) == 0) }
    try mounted.sync(again)
    try mounted.crash()
    try mounted.settle()
    let left = try mounted.path("f")
    #expect(try mounted.attributes(left).sectors == 300 * 8)
    #expect(try mounted.read(left, at: 1 << 20, count: 1 << 20) == Array(pattern(1 << 20).prefix(44 << 12)))
    try mounted.unlink("f")
    try mounted.harness.forget(left)
    try mounted.settle()
    try mounted.remount()
    let after = try mounted.space.free
    #expect(after + 16 >= before, "\(before) blocks were free, \(after) are")
  }

  @Test func replacedFilesAreOrphansToo() throws {
    let mounted = try Mounted()
    let old = try mounted.makeFile("f")
    try mounted.write(old, pattern(50_000))
    let new = try mounted.makeFile("f~")
    try mounted.write(new, pattern(60_000, seed: 2))
    #expect(try mounted.rename("f~", to: "f") == 0)
    try mounted.settle()
    #expect(try mounted.read(old, count: 100_000) == pattern(50_000))
    #expect(try mounted.attributes(old).links == 0)
    #expect(try mounted.read(new, count: 100_000) == pattern(60_000, seed: 2))
  }

  @Test func linkingAnOrphanAgainIsRefused() throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    try mounted.unlink("f")
    #expect(try mounted.call(Call(.link, node: 1, name: "g").with { $0.otherNode = file }).error == ENOENT)
  }
}
