import FileProtocol
import Glibc
import Simulation
import Testing

/// Names: making, linking, renaming, removing.
@Suite struct NameTests {
  @Test func newObjectsBelongToTheirMaker() throws {
    let mounted = try Mounted()
    let answer = try mounted.call(
      Call(.mkdir, node: 1, name: "d").with {
        $0.mode = FileType.directory | 0o750
        $0.uid = 7
        $0.gid = 8
      })
    #expect(answer.reply.attributes.uid == 7)
    #expect(answer.reply.attributes.gid == 8)
    #expect(answer.reply.attributes.mode == FileType.directory | 0o750)
    #expect(answer.reply.attributes.links == 2)
    #expect(try mounted.attributes(1).links == 3)
  }

  @Test func directoriesWithSetgidHandTheirGroupDown() throws {
    let mounted = try Mounted()
    let parent = try mounted.makeDirectory("d", mode: 0o2775)
    try mounted.change(parent, .owner(0, 42))
    try mounted.change(parent, .mode(0o2775))
    let file = try mounted.makeFile("f", in: parent)
    let child = try mounted.makeDirectory("c", in: parent)
    #expect(try mounted.attributes(file).gid == 42)
    #expect(try mounted.attributes(child).gid == 42)
    #expect(try mounted.attributes(child).mode == FileType.directory | 0o2755)
  }

  @Test func namesAreBytes() throws {
    let mounted = try Mounted()
    let names: [[UInt8]] = [
      [0xff, 0xfe], [0x61, 0xcc, 0x88], [0xc3, 0xa4], [0x20], Array(repeating: 0x78, count: 255),
    ]
    for name in names {
      let made = try mounted.call(
        Call(.create, node: 1).with {
          $0.name = name
          $0.mode = FileType.regular | 0o644
        })
      #expect(made.error == 0)
    }
    try mounted.remount()
    for name in names {
      let found = try mounted.call(Call(.lookup, node: 1).with { $0.name = name })
      #expect(found.error == 0 && found.reply.node != 0)
    }
    let tooLong = try mounted.call(
      Call(.mknod, node: 1).with {
        $0.name = Array(repeating: 0x78, count: 256)
        $0.mode = FileType.regular | 0o644
      })
    #expect(tooLong.error == ENAMETOOLONG)
    let looked = try mounted.call(
      Call(.lookup, node: 1).with { $0.name = Array(repeating: 0x78, count: 256) })
    #expect(looked.error == ENAMETOOLONG)
  }

  @Test func aMissingNameIsRemembered() throws {
    let mounted = try Mounted()
    let answer = try mounted.call(Call(.lookup, node: 1, name: "missing"))
    #expect(answer.error == ENOENT || (answer.error == 0 && answer.reply.node == 0))
  }

  @Test func hardLinks() throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("a")
    let linked = try mounted.call(Call(.link, node: 1, name: "b").with { $0.otherNode = file })
    #expect(linked.reply.node == file)
    #expect(linked.reply.attributes.links == 2)
    #expect(try mounted.call(Call(.link, node: 1, name: "b").with { $0.otherNode = file }).error == EEXIST)
    let directory = try mounted.makeDirectory("d")
    #expect(
      try mounted.call(Call(.link, node: 1, name: "e").with { $0.otherNode = directory }).error == EPERM)
    try mounted.unlink("a")
    #expect(try mounted.attributes(file).links == 1)
    #expect(try mounted.find("b") == file)
  }

  @Test func renameFlags() throws {
    let mounted = try Mounted()
    let a = try mounted.makeFile("a")
    let b = try mounted.makeFile("b")
    #expect(try mounted.rename("a", to: "b", flags: LinuxFlag.renameNoReplace) == EEXIST)
    #expect(try mounted.rename("a", to: "x", flags: LinuxFlag.renameExchange) == ENOENT)
    #expect(try mounted.rename("a", to: "b", flags: LinuxFlag.renameExchange) == 0)
    #expect(try mounted.find("a") == b)
    #expect(try mounted.find("b") == a)
    #expect(try mounted.rename("a", to: "b") == 0)
    #expect(try mounted.find("a") == nil)
    #expect(try mounted.find("b") == b)
    #expect(try mounted.rename("b", to: "c", flags: 8) == EINVAL)
  }

  @Test func renameOfTwoNamesOfOneFileDoesNothing() throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("a")
    try mounted.call(Call(.link, node: 1, name: "b").with { $0.otherNode = file })
    #expect(try mounted.rename("a", to: "b") == 0)
    #expect(try mounted.find("a") == file)
    #expect(try mounted.attributes(file).links == 2)
  }

  @Test func renameOfDirectories() throws {
    let mounted = try Mounted()
    let d = try mounted.makeDirectory("d")
    let e = try mounted.makeDirectory("e")
    let inner = try mounted.makeDirectory("inner", in: d)
    _ = try mounted.makeFile("file", in: e)
    _ = try mounted.makeFile("f")
    #expect(try mounted.rename("d", to: "e") == ENOTEMPTY)
    #expect(try mounted.rename("d", to: "f") == ENOTDIR)
    #expect(try mounted.rename("f", to: "d") == EISDIR)
    #expect(try mounted.rename("inner", in: d, to: "moved", under: e) == 0)
    #expect(try mounted.attributes(d).links == 2)
    #expect(try mounted.attributes(e).links == 3)
    let parent = try mounted.entries(inner, after: 0).first { $0.name == Array("..".utf8) }
    #expect(parent?.attributes.number == (try mounted.attributes(e).number))
    // An empty directory may be replaced.
    #expect(try mounted.rename("d", to: "moved", under: e) == 0)
    #expect(try mounted.attributes(e).links == 3)
    #expect(try mounted.attributes(1).links == 3)
  }

  @Test func removal() throws {
    let mounted = try Mounted()
    let d = try mounted.makeDirectory("d")
    _ = try mounted.makeFile("f", in: d)
    #expect(try mounted.call(Call(.rmdir, node: 1, name: "d")).error == ENOTEMPTY)
    #expect([EISDIR, EPERM].contains(try mounted.unlink("d")))
    #expect(try mounted.call(Call(.rmdir, node: d, name: "f")).error == ENOTDIR)
    #expect(try mounted.unlink("f", in: d) == 0)
    #expect(try mounted.call(Call(.rmdir, node: 1, name: "d")).error == 0)
    #expect(try mounted.call(Call(.rmdir, node: 1, name: "d")).error == ENOENT)
    #expect(try mounted.attributes(1).links == 2)
    let inside = try mounted.call(
      Call(.mkdir, node: d, name: "x").with { $0.mode = FileType.directory | 0o755 })
    #expect(inside.error == ENOENT, "a removed directory takes no names")
  }

  @Test func symlinks() throws {
    let mounted = try Mounted()
    for length in [1, 60, 3000, 3900, 4095] {
      let target = String(repeating: "x", count: length)
      let made = try mounted.call(
        Call(.symlink, node: 1, name: "s\(length)").with { $0.otherName = Array(target.utf8) })
      #expect(made.error == 0, "a target of \(length) bytes")
      #expect(made.reply.attributes.size == UInt64(length))
    }
    try mounted.remount()
    for length in [1, 60, 3000, 3900, 4095] {
      let node = try mounted.path("s\(length)")
      #expect(try mounted.call(Call(.readlink, node: node)).reply.bytes.count == length)
    }
    let tooLong = try mounted.call(
      Call(.symlink, node: 1, name: "s").with { $0.otherName = Array(repeating: 0x78, count: 4097) })
    #expect(tooLong.error == ENAMETOOLONG)
  }

  @Test func aNumberGivenOutAgainHasAnotherGeneration() throws {
    let mounted = try Mounted()
    var seen: Set<UInt64> = []
    for round in 0..<200 {
      let node = try mounted.makeFile("f\(round % 3)")
      #expect(seen.insert(node).inserted)
      try mounted.unlink("f\(round % 3)")
      try mounted.harness.forget(node)
      try mounted.harness.idle(1_000_000_000)
      #expect(try mounted.call(Call(.getattr, node: node)).error != 0)
    }
  }
}
