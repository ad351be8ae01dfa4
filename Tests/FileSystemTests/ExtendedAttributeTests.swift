import FileProtocol
import Glibc
import Simulation
import Testing

/// Extended attributes.
@Suite struct ExtendedAttributeTests {
  private static func set(
    _ mounted: Mounted, _ node: UInt64, _ name: String, _ value: [UInt8], _ flags: UInt32 = 0
  )
    throws -> Int32
  {
    try mounted.call(
      Call(.setxattr, node: node, name: name).with {
        $0.otherName = value
        $0.flags = flags
      }
    ).error
  }

  private static func get(_ mounted: Mounted, _ node: UInt64, _ name: String, room: UInt64 = 65536) throws
    -> Answer
  {
    try mounted.call(Call(.getxattr, node: node, name: name).with { $0.length = room })
  }

  private static func list(_ mounted: Mounted, _ node: UInt64) throws -> [String] {
    let answer = try mounted.call(Call(.listxattr, node: node).with { $0.length = 65536 })
    return answer.reply.bytes.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }.sorted()
  }

  @Test func setGetListRemove() throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    #expect(try Self.set(mounted, file, "user.a", [1, 2, 3]) == 0)
    #expect(try Self.set(mounted, file, "trusted.b", []) == 0)
    #expect(try Self.set(mounted, file, "security.c", [0, 0]) == 0)
    #expect(try Self.list(mounted, file) == ["security.c", "trusted.b", "user.a"])
    #expect(try Self.get(mounted, file, "user.a").reply.bytes == [1, 2, 3])
    #expect(try Self.get(mounted, file, "trusted.b").reply.bytes == [])
    #expect(try mounted.call(Call(.removexattr, node: file, name: "trusted.b")).error == 0)
    #expect(try mounted.call(Call(.removexattr, node: file, name: "trusted.b")).error == ENODATA)
    try mounted.remount()
    #expect(try Self.list(mounted, try mounted.path("f")) == ["security.c", "user.a"])
  }

  @Test(arguments: [("user.", EINVAL), ("trusted.", EINVAL), ("user", EOPNOTSUPP), ("other.a", EOPNOTSUPP)])
  func namesThatAreRefused(name: String, error: Int32) throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    #expect(try Self.set(mounted, file, name, [1]) == error)
    #expect(try Self.get(mounted, file, name).error == error)
    #expect(try mounted.call(Call(.removexattr, node: file, name: name)).error == error)
  }

  @Test func createAndReplace() throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    #expect(try Self.set(mounted, file, "user.a", [1], LinuxFlag.attributeReplace) == ENODATA)
    #expect(try Self.set(mounted, file, "user.a", [1], LinuxFlag.attributeCreate) == 0)
    #expect(try Self.set(mounted, file, "user.a", [2], LinuxFlag.attributeCreate) == EEXIST)
    #expect(try Self.set(mounted, file, "user.a", [2], LinuxFlag.attributeReplace) == 0)
    #expect(try Self.get(mounted, file, "user.a").reply.bytes == [2])
  }

  @Test func sizesAreAskedForFirst() throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    #expect(try Self.set(mounted, file, "user.a", [UInt8](repeating: 7, count: 100)) == 0)
    #expect(try Self.get(mounted, file, "user.a", room: 0).reply.count == 100)
    #expect(try Self.get(mounted, file, "user.a", room: 99).error == ERANGE)
    #expect(try Self.get(mounted, file, "user.a", room: 100).reply.bytes.count == 100)
    let asked = try mounted.call(Call(.listxattr, node: file))
    #expect(asked.reply.count == 7)
    #expect(try mounted.call(Call(.listxattr, node: file).with { $0.length = 6 }).error == ERANGE)
  }

  @Test func limits() throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    #expect(try Self.get(mounted, file, "user.none").error == ENODATA)
    #expect(try Self.set(mounted, file, "user.big", [UInt8](repeating: 1, count: 65537)) == E2BIG)
    #expect(try Self.set(mounted, file, "user." + String(repeating: "n", count: 251), [1]) == ERANGE)
    #expect(try Self.list(mounted, file) == [])
    #expect(try Self.set(mounted, file, "user." + String(repeating: "n", count: 250), [1]) == 0)
    #expect(try Self.list(mounted, file).count == 1)
  }

  @Test(arguments: [0, 1, 1024, 1025, 3800, 3900, 4063, 4064, 4065, 8128, 65535, 65536])
  func valuesOfEveryLength(count: Int) throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    try mounted.write(file, pattern(100))
    #expect(try Self.set(mounted, file, "user.a", pattern(count)) == 0)
    #expect(try Self.set(mounted, file, "user.b", pattern(count, seed: 2)) == 0)
    #expect(try Self.get(mounted, file, "user.a").reply.bytes == pattern(count))
    #expect(try Self.get(mounted, file, "user.a", room: 0).reply.count == UInt64(count))
    try mounted.call(Call(.fsync, node: file))
    try mounted.crash()
    let again = try mounted.path("f")
    #expect(try Self.get(mounted, again, "user.a").reply.bytes == pattern(count))
    #expect(try Self.set(mounted, again, "user.a", pattern(65536 - count, seed: 3)) == 0)
    #expect(try Self.get(mounted, again, "user.a").reply.bytes == pattern(65536 - count, seed: 3))
    #expect(try Self.get(mounted, again, "user.b").reply.bytes == pattern(count, seed: 2))
    try mounted.remount()
    let last = try mounted.path("f")
    #expect(try Self.get(mounted, last, "user.a").reply.bytes == pattern(65536 - count, seed: 3))
    #expect(try Self.get(mounted, last, "user.b").reply.bytes == pattern(count, seed: 2))
    #expect(try mounted.call(Call(.removexattr, node: last, name: "user.a")).error == 0)
    #expect(try mounted.call(Call(.removexattr, node: last, name: "user.b")).error == 0)
    #expect(try Self.list(mounted, last) == [])
    try mounted.expectClean()
  }

  @Test func thousands() throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    let names = (0..<3000).map { "user.attribute-\($0)" }
    for (index, name) in names.enumerated() {
      #expect(
        try Self.set(mounted, file, name, pattern(index % 40 == 0 ? 2000 : index % 60, seed: UInt64(index)))
          == 0)
    }
    #expect(try Self.list(mounted, file) == names.sorted())
    try mounted.call(Call(.fsync, node: file))
    try mounted.crash()
    let again = try mounted.path("f")
    #expect(try Self.list(mounted, again) == names.sorted())
    for (index, name) in names.enumerated() where index % 7 == 0 {
      #expect(
        try Self.get(mounted, again, name).reply.bytes
          == pattern(index % 40 == 0 ? 2000 : index % 60, seed: UInt64(index)))
    }
    for name in names.dropLast() {
      #expect(try mounted.call(Call(.removexattr, node: again, name: name)).error == 0)
    }
    #expect(try Self.list(mounted, again) == [names[2999]])
    try mounted.expectClean()
  }

  @Test func moreNamesThanAListHolds() throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    for index in 0..<300 {
      let name = "user.\(index)-" + String(repeating: "n", count: 230)
      #expect(try Self.set(mounted, file, name, [UInt8(index & 255)]) == 0)
    }
    #expect(try mounted.call(Call(.listxattr, node: file)).error == E2BIG)
    #expect(try mounted.call(Call(.listxattr, node: file).with { $0.length = 65536 }).error == E2BIG)
    let last = "user.299-" + String(repeating: "n", count: 230)
    #expect(try Self.get(mounted, file, last).reply.bytes == [43])
  }

  /// A listing keeps its position: it needs no more of the cache than one node at a time.
  @Test func aListIsLongerThanTheCache() throws {
    let mounted = try Mounted(megabytes: 128)
    let file = try mounted.makeFile("f")
    for index in 0..<3000 {
      #expect(try Self.set(mounted, file, "user.\(index)", pattern(1000, seed: UInt64(index))) == 0)
    }
    try mounted.remount()
    let names = (0..<3000).map { "user.\($0)" }.sorted()
    #expect(try Self.list(mounted, try mounted.path("f")) == names)
    #expect(try mounted.call(Call(.unlink, node: 1, name: "f")).error == 0)
  }

  @Test func whatIsRemovedIsFreed() throws {
    let mounted = try Mounted()
    let before = try #require(mounted.fileSystem).spaceReport.free
    let file = try mounted.makeFile("f")
    for index in 0..<40 {
      #expect(try Self.set(mounted, file, "user.\(index)", pattern(60_000, seed: UInt64(index))) == 0)
    }
    for index in 0..<300 {
      #expect(try Self.set(mounted, file, "user.small-\(index)", pattern(200, seed: UInt64(index))) == 0)
    }
    #expect(try #require(mounted.fileSystem).spaceReport.free + 600 < before)
    #expect(try mounted.call(Call(.unlink, node: 1, name: "f")).error == 0)
    try mounted.harness.forget(file)
    try mounted.settle()
    let after = try #require(mounted.fileSystem).spaceReport.free
    try mounted.expectClean()
    // The tables have grown.
    #expect(after + 8 >= before)
  }

  @Test func aFullDiskRefusesThemWhole() throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    let value = pattern(65536)
    var stored = 0
    while true {
      let error = try Self.set(mounted, file, "user.\(stored)", value)
      if error == ENOSPC { break }
      try #require(error == 0 && stored < 5000)
      stored += 1
    }
    #expect(try Self.list(mounted, file).count == stored)
    #expect(try Self.get(mounted, file, "user.\(stored - 1)").reply.bytes == value)
    #expect(try mounted.call(Call(.removexattr, node: file, name: "user.0")).error == 0)
    #expect(try Self.set(mounted, file, "user.0", value) == 0)
    try mounted.remount()
    #expect(try Self.list(mounted, try mounted.path("f")).count == stored)
  }

  /// At recovery an attribute may be put into the inode, although the file's bytes took that room when it was
  /// set; bytes that are replayed later must still find room.
  @Test func bytesComeBackIntoAnInodeAtRecovery() throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    try mounted.write(file, pattern(100))
    try mounted.call(Call(.fsync, node: file))
    // Its bytes leave the inode, and its map entries leave no room for the attribute.
    try mounted.write(file, pattern(9000))
    #expect(try Self.set(mounted, file, "user.a", pattern(2500)) == 0)
    #expect(try mounted.call(Call(.setattr, node: file).with { $0.change.size = 0 }).error == 0)
    try mounted.write(file, pattern(2000, seed: 4))
    try mounted.call(Call(.fsync, node: file))
    try mounted.crash()
    let again = try mounted.path("f")
    #expect(try mounted.read(again, count: 5000) == pattern(2000, seed: 4))
    #expect(try Self.get(mounted, again, "user.a").reply.bytes == pattern(2500))
    try mounted.expectClean()
  }

  @Test func attributesAndInlineDataShareAnInode() throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    let bytes = pattern(3000)
    try mounted.write(file, bytes)
    let value = pattern(1500, seed: 2)
    #expect(try Self.set(mounted, file, "user.a", value) == 0)
    #expect(try mounted.read(file, count: 5000) == bytes)
    try mounted.write(file, pattern(800, seed: 3), at: 3000)
    #expect(try mounted.read(file, count: 5000) == bytes + pattern(800, seed: 3))
    try mounted.remount()
    let again = try mounted.path("f")
    #expect(try mounted.read(again, count: 5000) == bytes + pattern(800, seed: 3))
    #expect(try Self.get(mounted, again, "user.a").reply.bytes == value)
  }

  @Test func directoriesAndSymlinksHaveThemToo() throws {
    let mounted = try Mounted()
    let directory = try mounted.makeDirectory("d")
    for index in 0..<60 { _ = try mounted.makeFile("file with a longer name \(index)", in: directory) }
    #expect(try Self.set(mounted, directory, "user.a", pattern(2000)) == 0)
    #expect(try mounted.list(directory).count == 60)
    #expect(try Self.get(mounted, directory, "user.a").reply.bytes == pattern(2000))
    let link = try mounted.call(
      Call(.symlink, node: 1, name: "s").with { $0.otherName = Array(repeating: 0x78, count: 3700) })
    #expect(try Self.set(mounted, link.reply.node, "trusted.a", pattern(400)) == 0)
    #expect(try mounted.call(Call(.readlink, node: link.reply.node)).reply.bytes.count == 3700)
  }
}
