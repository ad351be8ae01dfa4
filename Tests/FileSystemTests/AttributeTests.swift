import FileProtocol
import Glibc
import Simulation
import Testing

/// Modes, owners, sizes and times.
@Suite struct AttributeTests {
  @Test func writesClearSetuidAndSetgid() throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    try mounted.change(file, .mode(0o6755))
    let write = Call(.write, node: file).with {
      $0.payload = [1, 2, 3]
      $0.flags = LinuxFlag.readWrite
    }
    try mounted.call(write.with { $0.killPrivileges = true })
    #expect(try mounted.attributes(file).mode & 0o7777 == 0o755)
    try mounted.change(file, .mode(0o6755))
    try mounted.call(write)
    #expect(
      try mounted.attributes(file).mode & 0o7777 == 0o6755,
      "nothing is cleared where the request does not ask for it")
  }

  @Test(
    arguments: [(0o6755, 0, 0o755), (0o6644, 0, 0o2644), (0o6644, 9, 0o644)] as [(UInt32, UInt32, UInt32)])
  func fallocateClearsSetuidAndSetgid(mode: UInt32, group: UInt32, left: UInt32) throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    try mounted.change(file, .mode(mode))
    let allocate = Call(.fallocate, node: file).with {
      $0.length = 3 << 20
      $0.gid = group
    }
    #expect(try mounted.call(allocate).reply.attributesChanged == false)
    #expect(try mounted.attributes(file).mode & 0o7777 == mode)
    #expect(try mounted.call(allocate.with { $0.killPrivileges = true }).reply.attributesChanged)
    #expect(try mounted.attributes(file).mode & 0o7777 == left)
  }

  @Test func truncatingAndGivingAwayClearSetuidAndSetgid() throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    try mounted.change(file, .mode(0o6755))
    try mounted.call(
      Call(.setattr, node: file).with {
        $0.change = .size(10)
        $0.killPrivileges = true
      })
    #expect(try mounted.attributes(file).mode & 0o6000 == 0)
    try mounted.change(file, .mode(0o6755))
    try mounted.change(file, .owner(5, 5))
    #expect(try mounted.attributes(file).mode & 0o6000 == 0)
    #expect(try mounted.attributes(file).uid == 5)
  }

  @Test func writesRemoveCapabilities() throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    let set = Call(.setxattr, node: file, name: "security.capability").with {
      $0.otherName = Array(repeating: 1, count: 20)
    }
    #expect(try mounted.call(set).error == 0)
    try mounted.call(
      Call(.write, node: file).with {
        $0.payload = [1]
        $0.killPrivileges = true
      })
    let get = Call(.getxattr, node: file, name: "security.capability").with { $0.length = 100 }
    #expect(try mounted.call(get).error == ENODATA)
    #expect(try mounted.call(set).error == 0)
    try mounted.change(file, .size(0))
    #expect(try mounted.call(get).error == ENODATA)
  }

  @Test func timesMove() throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    let made = try mounted.attributes(file)
    try mounted.harness.idle(1_000_000)
    try mounted.write(file, [1])
    let written = try mounted.attributes(file)
    #expect(written.modificationTime > made.modificationTime)
    #expect(written.changeTime > made.changeTime)
    try mounted.harness.idle(1_000_000)
    try mounted.change(file, .mode(0o600))
    let changed = try mounted.attributes(file)
    #expect(changed.modificationTime == written.modificationTime)
    #expect(changed.changeTime > written.changeTime)
    try mounted.change(file, .times(accessed: nil, modified: -5_000_000_001))
    #expect(try mounted.attributes(file).modificationTime == -5_000_000_001)
    var now = AttributeChange()
    now.modificationTimeNow = true
    now.accessTimeNow = true
    try mounted.change(file, now)
    #expect(try mounted.attributes(file).modificationTime > changed.modificationTime)
    try mounted.remount()
    #expect(try mounted.attributes(try mounted.path("f")).modificationTime > changed.modificationTime)
  }

  @Test func namesMoveTheirDirectorysTimes() throws {
    let mounted = try Mounted()
    let d = try mounted.makeDirectory("d")
    var last = try mounted.attributes(d).modificationTime
    func moved(_ what: String) throws {
      let now = try mounted.attributes(d).modificationTime
      #expect(now > last, "\(what)")
      last = now
    }
    _ = try mounted.makeFile("f", in: d)
    try moved("create")
    try mounted.rename("f", in: d, to: "g", under: d)
    try moved("rename")
    try mounted.rename("g", in: d, to: "g")
    try moved("rename away")
    try mounted.rename("g", to: "g", under: d)
    try moved("rename into")
    try mounted.unlink("g", in: d)
    try moved("unlink")
  }

  @Test(arguments: [(Options.AccessTimes.never, false), (.relative, true), (.always, true)])
  func accessTimes(mode: Options.AccessTimes, moves: Bool) throws {
    var options = Options()
    options.accessTimes = mode
    let mounted = try Mounted(options: options)
    let file = try mounted.makeFile("f")
    try mounted.write(file, pattern(10_000))
    let before = try mounted.attributes(file).accessTime
    try mounted.harness.idle(1_000_000)
    _ = try mounted.read(file, count: 100)
    let first = try mounted.attributes(file).accessTime
    #expect((first > before) == moves)
    try mounted.harness.idle(1_000_000)
    _ = try mounted.read(file, count: 100)
    #expect((try mounted.attributes(file).accessTime > first) == (mode == .always))
  }

  @Test func truncation() throws {
    let mounted = try Mounted()
    let bytes = pattern(200_000)
    for size in [0, 1, 3839, 3840, 3841, 4096, 5000, 100_000, 199_999, 200_000, 250_000] {
      let file = try mounted.makeFile("f\(size)")
      try mounted.write(file, bytes)
      #expect(try mounted.change(file, .size(UInt64(size))) == 0)
      #expect(try mounted.change(file, .size(260_000)) == 0)
      let expected = Array(bytes.prefix(size)) + Array(repeating: 0, count: 260_000 - min(size, bytes.count))
      #expect(try mounted.read(file, count: 300_000) == expected, "truncated to \(size)")
    }
    try mounted.remount()
    let again = try mounted.read(try mounted.path("f5000"), count: 300_000)
    #expect(Array(again.prefix(5000)) == Array(bytes.prefix(5000)))
    #expect(again.dropFirst(5000).allSatisfy { $0 == 0 })
    #expect(again.count == 260_000)
  }

  @Test func sizesThatCannotBe() throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    #expect(try mounted.change(file, .size(UInt64.max)) == EFBIG)
    #expect(try mounted.change(file, .size(17 << 40)) == EFBIG)
    #expect(try mounted.change(file, .size(16 << 40)) == 0)
    #expect(try mounted.attributes(file).size == 16 << 40)
    #expect(try mounted.write(file, [1], at: (16 << 40) - 1) == 0)
    #expect(try mounted.write(file, [1], at: 16 << 40) == EFBIG)
    #expect(try mounted.write(file, [1], at: UInt64.max - 1) == EFBIG)
    let directory = try mounted.makeDirectory("d")
    #expect(try mounted.change(directory, .size(0)) == EISDIR)
  }

  @Test func openTruncates() throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    try mounted.write(file, pattern(50_000))
    try mounted.call(Call(.open, node: file).with { $0.flags = LinuxFlag.readWrite | LinuxFlag.truncate })
    #expect(try mounted.attributes(file).size == 0)
  }

  @Test func aReadOnlyMountChangesNothing() throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    try mounted.write(file, pattern(5000))
    var options = Options()
    options.readOnly = true
    options.staysReadOnly = true
    try mounted.remount(options)
    let again = try mounted.path("f")
    #expect(try mounted.read(again, count: 5000) == pattern(5000))
    #expect(try mounted.write(again, [1]) == EROFS)
    #expect(try mounted.unlink("f") == EROFS)
    #expect(try mounted.change(again, .mode(0)) == EROFS)
    try mounted.settle()
    #expect(mounted.harness.disk.statistics.writes == 0)
  }
}
