import FileProtocol
import Glibc
import Simulation
import Testing

/// Directories of all sizes, and reading them while they change.
@Suite struct DirectoryTests {
  private static func fill(_ mounted: Mounted, _ node: UInt64, _ range: Range<Int>) throws {
    for index in range {
      let answer = try mounted.call(
        Call(.mknod, node: node, name: "name-\(index)").with { $0.mode = FileType.regular | 0o644 })
      try #require(answer.error == 0)
    }
  }

  private static func remove(_ mounted: Mounted, _ node: UInt64, _ range: Range<Int>) throws {
    for index in range { try #require(try mounted.unlink("name-\(index)", in: node) == 0) }
  }

  @Test func growingAndShrinking() throws {
    let mounted = try Mounted()
    let directory = try mounted.makeDirectory("d")
    try Self.fill(mounted, directory, 0..<3000)
    #expect(Set(try mounted.list(directory)) == Set((0..<3000).map { "name-\($0)" }))
    try mounted.remount()
    let again = try mounted.path("d")
    #expect(try mounted.list(again).count == 3000)
    #expect(try mounted.find("name-2999", in: again) != nil)
    #expect(try mounted.find("name-3000", in: again) == nil)
    try Self.remove(mounted, again, 0..<2990)
    #expect(Set(try mounted.list(again)) == Set((2990..<3000).map { "name-\($0)" }))
    try Self.remove(mounted, again, 2990..<3000)
    #expect(try mounted.call(Call(.rmdir, node: 1, name: "d")).error == 0)
  }

  @Test func dotsComeFirst() throws {
    let mounted = try Mounted()
    let directory = try mounted.makeDirectory("d")
    let entries = try mounted.entries(directory, after: 0)
    #expect(entries.map { String(decoding: $0.name, as: UTF8.self) } == [".", ".."])
    #expect(entries.map(\.attributes.number) == [directory & 0xff_ffff_ffff, 1])
  }

  @Test(arguments: [200, 1000, 65536])
  func piecesOfAnySizeGiveEveryNameOnce(room: UInt64) throws {
    let mounted = try Mounted()
    let directory = try mounted.makeDirectory("d")
    try Self.fill(mounted, directory, 0..<700)
    let names = try mounted.list(directory, room: room)
    #expect(names.count == 700)
    #expect(Set(names).count == 700)
  }

  @Test func namesThatStayAreSeenOnceWhateverElseChanges() throws {
    let mounted = try Mounted()
    let directory = try mounted.makeDirectory("d")
    try Self.fill(mounted, directory, 0..<600)
    var seen: [String] = []
    var cookie: UInt64 = 0
    var round = 0
    while true {
      let entries = try mounted.entries(directory, after: cookie, room: 600)
      guard let last = entries.last else { break }
      seen += entries.map { String(decoding: $0.name, as: UTF8.self) }
      cookie = last.cookie
      // Meanwhile names are made (leaves split) and removed (leaves are freed).
      try Self.fill(mounted, directory, 1000 + round * 20..<1000 + round * 20 + 20)
      if round < 15 { try Self.remove(mounted, directory, 300 + round * 20..<320 + round * 20) }
      round += 1
      try #require(round < 1000)
    }
    for index in 0..<300 { #expect(seen.count { $0 == "name-\(index)" } == 1, "name-\(index)") }
    #expect(Set(seen).count == seen.count)
  }

  @Test func cookiesOutliveRemounts() throws {
    let mounted = try Mounted()
    let directory = try mounted.makeDirectory("d")
    try Self.fill(mounted, directory, 0..<500)
    let all = try mounted.list(directory)
    let first = try mounted.entries(directory, after: 0, room: 2000)
    try mounted.remount()
    let again = try mounted.path("d")
    var names = first.map { String(decoding: $0.name, as: UTF8.self) }
    var cookie = try #require(first.last?.cookie)
    while true {
      let entries = try mounted.entries(again, after: cookie, room: 2000)
      guard let last = entries.last else { break }
      names += entries.map { String(decoding: $0.name, as: UTF8.self) }
      cookie = last.cookie
    }
    #expect(names.filter { $0 != "." && $0 != ".." } == all)
  }

  @Test func entriesWithAttributesCountLookups() throws {
    let mounted = try Mounted()
    let directory = try mounted.makeDirectory("d")
    let file = try mounted.makeFile("f", in: directory)
    try mounted.write(file, pattern(5000))
    let answer = try mounted.call(Call(.readdirplus, node: directory).with { $0.length = 4096 })
    let entry = try #require(answer.reply.entries.first { $0.name == Array("f".utf8) })
    #expect(entry.node == file)
    #expect(entry.attributes == (try mounted.attributes(file)))
    #expect(mounted.harness.lookups[file] == 2)
  }

  @Test func theRoomIsKept() throws {
    let mounted = try Mounted()
    let directory = try mounted.makeDirectory("d")
    try Self.fill(mounted, directory, 0..<100)
    for room in [24, 100, 152, 1000] as [UInt64] {
      for (operation, fixed) in [(Operation.readdir, 24), (.readdirplus, 152)] {
        let answer = try mounted.call(Call(operation, node: directory).with { $0.length = room })
        let used = answer.reply.entries.reduce(0) { $0 + fixed + ($1.name.count + 7) / 8 * 8 }
        #expect(used <= room)
      }
    }
  }
}
