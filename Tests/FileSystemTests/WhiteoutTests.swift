import FileProtocol
import Glibc
import Simulation
import Testing

/// RENAME_WHITEOUT, which overlayfs needs of the filesystem of its upper layer.
@Suite struct WhiteoutTests {
  private static let whiteout = LinuxFlag.renameWhiteout

  /// Whether a name is a whiteout: a character device 0:0 without permissions.
  private static func isWhiteout(_ mounted: Mounted, _ name: String, in parent: UInt64 = 1) throws -> Bool {
    guard let node = try mounted.find(name, in: parent) else { return false }
    let attributes = try mounted.attributes(node)
    return attributes.mode == FileType.character && attributes.device == 0 && attributes.links == 1
  }

  @Test func aFreeNameIsTaken() throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("a")
    #expect(try mounted.rename("a", to: "b", flags: Self.whiteout) == 0)
    #expect(try mounted.find("b") == file)
    #expect(try Self.isWhiteout(mounted, "a"))
    #expect(try mounted.list().sorted() == ["a", "b"])
    try mounted.remount()
    #expect(try Self.isWhiteout(mounted, "a"))
    #expect(try mounted.unlink("a") == 0)
    #expect(try mounted.list() == ["b"])
  }

  @Test func aFileIsReplaced() throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("a")
    let other = try mounted.makeFile("b")
    #expect(
      try mounted.rename("a", to: "b", flags: Self.whiteout | LinuxFlag.renameNoReplace) == EEXIST)
    #expect(try mounted.rename("a", to: "b", flags: Self.whiteout) == 0)
    #expect(try mounted.find("b") == file)
    #expect(try mounted.attributes(other).links == 0)
    #expect(try Self.isWhiteout(mounted, "a"))
  }

  @Test("a power cut leaves both names as before or both as after", arguments: [false, true])
  func wholeAfterACrash(replaces: Bool) throws {
    var outcomes: Set<Bool> = []
    for seed in 0..<80 as Range<UInt64> {
      var random = SeededRandom(seed)
      let mounted = try Mounted(megabytes: 40, seed: seed)
      let file = try mounted.makeFile("a")
      let other = replaces ? try mounted.makeFile("b") : nil
      try mounted.sync(1)
      // So many records that a log write is due near the rename.
      for index in 0..<200 + random.below(120) {
        try mounted.call(Call(.mknod, node: 1, name: "f\(index)").with { $0.mode = FileType.regular })
      }
      #expect(try mounted.rename("a", to: "b", flags: Self.whiteout) == 0)
      _ = try mounted.harness.begin(Call(.fsync, node: 1))
      for _ in 0..<random.below(4) where mounted.harness.underWay > 0 { try mounted.harness.step() }
      try mounted.crash(.random(seed))
      let isDone = try mounted.find("b") == file
      outcomes.insert(isDone)
      if isDone {
        #expect(try Self.isWhiteout(mounted, "a"), "seed \(seed)")
      } else {
        #expect(try mounted.find("a") == file, "seed \(seed)")
        #expect(try mounted.find("b") == other, "seed \(seed)")
      }
    }
    #expect(outcomes.count == 2)
  }

  @Test func directoriesMoveToo() throws {
    let mounted = try Mounted()
    let from = try mounted.makeDirectory("from")
    let to = try mounted.makeDirectory("to")
    let inner = try mounted.makeDirectory("inner", in: from)
    _ = try mounted.makeDirectory("empty", in: to)
    #expect(try mounted.rename("inner", in: from, to: "moved", under: to, flags: Self.whiteout) == 0)
    #expect(try Self.isWhiteout(mounted, "inner", in: from))
    #expect(try mounted.attributes(from).links == 2)
    #expect(try mounted.attributes(to).links == 4)
    #expect(try mounted.rename("moved", in: to, to: "empty", under: to, flags: Self.whiteout) == 0)
    #expect(try mounted.find("empty", in: to) == inner)
    #expect(try Self.isWhiteout(mounted, "moved", in: to))
    #expect(try mounted.attributes(to).links == 3)
    #expect(try mounted.rename("to", to: "below", under: inner, flags: Self.whiteout) == EINVAL)
  }

  @Test func itBelongsToWhoRenames() throws {
    let mounted = try Mounted()
    let directory = try mounted.makeDirectory("d", mode: 0o2775)
    try mounted.change(directory, .owner(0, 42))
    try mounted.change(directory, .mode(0o2775))
    for (name, parent, group) in [("a", UInt64(1), UInt32(8)), ("b", directory, 42)] {
      _ = try mounted.makeFile(name, in: parent)
      let answer = try mounted.call(
        Call(.rename, node: parent, name: name).with {
          $0.otherNode = 1
          $0.otherName = Array("new \(name)".utf8)
          $0.flags = Self.whiteout
          $0.uid = 7
          $0.gid = 8
        })
      #expect(answer.error == 0)
      let whiteout = try mounted.attributes(try #require(try mounted.find(name, in: parent)))
      #expect(whiteout.uid == 7)
      #expect(whiteout.gid == group)
    }
  }

  @Test func itIsNoExchange() throws {
    let mounted = try Mounted()
    _ = try mounted.makeFile("a")
    _ = try mounted.makeFile("b")
    #expect(try mounted.rename("a", to: "b", flags: Self.whiteout | LinuxFlag.renameExchange) == EINVAL)
    #expect(try mounted.rename("c", to: "d", flags: Self.whiteout) == ENOENT)
  }

  /// Long names in directories of every size, so that leaves split and empty under the two records.
  @Test(arguments: 1...6 as ClosedRange<UInt64>)
  func manyNames(seed: UInt64) throws {
    var random = SeededRandom(seed)
    let mounted = try Mounted(seed: seed)
    let directories = [1, try mounted.makeDirectory("second")]
    // The node of each name, or 0 for a whiteout.
    var names: [[String: UInt64]] = [["second": directories[1]], [:]]
    let padding = String(repeating: "x", count: 200)
    func fresh() -> String { "\(random.below(1 << 40))" + (random.chance(50) ? padding : "") }
    for _ in 0..<400 {
      let (from, to) = (random.below(2), random.below(2))
      let files = names[from].filter { $0.value != 0 && $0.key != "second" }.keys.sorted()
      if random.chance(40) || files.isEmpty {
        let name = fresh()
        names[from][name] = try mounted.makeFile(name, in: directories[from])
        continue
      }
      let name = files[random.below(files.count)]
      let victims = names[to].keys.filter { $0 != name && $0 != "second" }.sorted()
      let newName = random.chance(40) ? random.pick(victims) ?? fresh() : fresh()
      let error = try mounted.rename(
        name, in: directories[from], to: newName, under: directories[to], flags: Self.whiteout)
      try #require(error == 0)
      names[to][newName] = names[from][name]
      names[from][name] = 0
    }
    try mounted.settle()
    try mounted.remount()
    for (parent, expected) in [(1, names[0]), (try mounted.path("second"), names[1])] {
      #expect(try mounted.list(parent).sorted() == expected.keys.sorted())
      for (name, node) in expected where name != "second" {
        #expect(try Self.isWhiteout(mounted, name, in: parent) == (node == 0))
      }
    }
  }

  /// No power cut separates the whiteout from the move.
  @Test(arguments: 1...40 as ClosedRange<UInt64>)
  func bothOrNeither(seed: UInt64) throws {
    var random = SeededRandom(seed)
    let mounted = try Mounted(seed: seed)
    let directory = try mounted.makeDirectory("d")
    let count = random.number(1...60)
    for number in 0..<count {
      _ = try mounted.makeFile("a\(number)", mode: 0o600)
      if number % 2 == 0 { _ = try mounted.makeFile("b\(number)", in: directory) }
    }
    try mounted.sync(1)
    for number in 0..<count {
      #expect(
        try mounted.rename("a\(number)", to: "b\(number)", under: directory, flags: Self.whiteout) == 0)
      if random.chance(20) { try mounted.harness.idle(UInt64(random.below(3_000_000_000))) }
      if random.chance(5) { try mounted.sync(1) }
    }
    try mounted.crash(.random(seed))
    let under = try mounted.path("d")
    for number in 0..<count {
      let isMoved = try Self.isWhiteout(mounted, "a\(number)")
      let old = try mounted.attributes(try mounted.path("a\(number)")).mode
      #expect(isMoved || old == FileType.regular | 0o600)
      let new = try mounted.find("b\(number)", in: under).map { try mounted.attributes($0).mode }
      let former = number % 2 == 0 ? FileType.regular | 0o644 : nil
      #expect(new == (isMoved ? FileType.regular | 0o600 : former))
    }
  }
}
