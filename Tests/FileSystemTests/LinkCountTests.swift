import FileProtocol
import Format
import Glibc
import Testing

@testable import Simulation

/// Link counts at their limits. The counts are set in the image, because making so many names takes long.
@Suite struct LinkCountTests {
  /// A mounted filesystem in which the directory or file `name` has so many links.
  private static func mounted(_ name: String, links: UInt32, _ make: (Mounted) throws -> Void) throws
    -> Mounted
  {
    let mounted = try Mounted()
    try make(mounted)
    let number = NodeID(raw: try mounted.path(name)).number
    try mounted.remount { image in
      image.editTable(.inodeTable, level: -1, index: number) { Inode($0).links = links }
    }
    return mounted
  }

  private static func links(_ mounted: Mounted, _ path: String) throws -> UInt32 {
    try mounted.attributes(try mounted.path(path)).links
  }

  @Test func subdirectoriesWithoutALimit() throws {
    let mounted = try Self.mounted("d", links: 64_999) { _ = try $0.makeDirectory("d") }
    let directory = try mounted.path("d")
    for (name, links) in [("a", UInt32(65_000)), ("b", 1), ("c", 1)] {
      _ = try mounted.makeDirectory(name, in: directory)
      #expect(try Self.links(mounted, "d") == links)
    }
    #expect(try mounted.call(Call(.rmdir, node: directory, name: "b")).error == 0)
    #expect(try Self.links(mounted, "d") == 1)
    try mounted.sync(directory)
    try mounted.crash()
    #expect(try Self.links(mounted, "d") == 1)
    for name in ["a", "c"] {
      #expect(try mounted.call(Call(.rmdir, node: try mounted.path("d"), name: name)).error == 0)
    }
    #expect(try Self.links(mounted, "d") == 1)
    #expect(try mounted.call(Call(.rmdir, node: 1, name: "d")).error == 0)
    #expect(try Self.links(mounted, "") == 2)
    try mounted.expectClean()
  }

  @Test func renamesCountSubdirectoriesToo() throws {
    let mounted = try Self.mounted("d", links: 65_000) {
      _ = try $0.makeDirectory("inner", in: try $0.makeDirectory("d"))
      for name in ["e", "f", "g"] { _ = try $0.makeDirectory(name) }
    }
    let directory = try mounted.path("d")
    // One takes another's place.
    #expect(try mounted.rename("e", to: "inner", under: directory) == 0)
    #expect(try Self.links(mounted, "d") == 65_000)
    #expect(try mounted.rename("f", to: "inner", under: directory, flags: LinuxFlag.renameExchange) == 0)
    #expect(try Self.links(mounted, "d") == 65_000)
    #expect(try mounted.rename("g", to: "g", under: directory) == 0)
    #expect(try Self.links(mounted, "d") == 1)
    #expect(try mounted.rename("g", in: directory, to: "g") == 0)
    #expect(try Self.links(mounted, "d") == 1)
    #expect(try Self.links(mounted, "") == 5)
    try mounted.sync(1)
    try mounted.crash()
    #expect(try Self.links(mounted, "d") == 1)
    try mounted.expectClean()
  }

  @Test func hardLinksHaveALimit() throws {
    let mounted = try Self.mounted("f", links: 64_999) { _ = try $0.makeFile("f") }
    let file = try mounted.path("f")
    #expect(try mounted.call(Call(.link, node: 1, name: "a").with { $0.otherNode = file }).error == 0)
    #expect(try mounted.call(Call(.link, node: 1, name: "b").with { $0.otherNode = file }).error == EMLINK)
    #expect(try mounted.attributes(file).links == 65_000)
  }
}
