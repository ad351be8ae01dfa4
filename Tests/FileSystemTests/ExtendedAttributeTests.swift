import FileSystem
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
    let big = try Self.set(mounted, file, "user.big", [UInt8](repeating: 1, count: 65536))
    #expect([ENOSPC, E2BIG].contains(big))
    #expect(try Self.list(mounted, file) == [])
    var stored = 0
    while try Self.set(mounted, file, "user.\(stored)", [UInt8](repeating: UInt8(stored), count: 500)) == 0 {
      stored += 1
      try #require(stored < 1000)
    }
    #expect(stored >= 7)
    #expect(try Self.list(mounted, file).count == stored)
    for index in 0..<stored {
      #expect(
        try Self.get(mounted, file, "user.\(index)").reply.bytes
          == [UInt8](repeating: UInt8(index), count: 500))
    }
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
