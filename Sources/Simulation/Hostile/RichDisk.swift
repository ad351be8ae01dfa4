import FileProtocol
import FileSystem
import Format

/// A small disk with at least one of every structure: once unmounted in order, once left with a log to be
/// replayed.
struct RichDisk {
  let clean: DiskImage
  let torn: DiskImage

  private static let smallFiles = 280
  private static let directoryMode = FileType.directory | 0o755
  private static let fileMode = FileType.regular | 0o644

  /// Fills a disk of 36 MiB.
  /// - Throws: `SimulationFailure` when the filesystem refuses something.
  init(pool: BlockPool, memory: SimulatedMemory, seed: UInt64) throws {
    let disk = SimulatedDisk(
      try DiskImage.formatted(pool: pool, blockCount: 9216, seed: seed), seed: seed)
    try Self.mounted(disk, memory) { harness in
      try Self.fillNames(harness)
      try Self.fillFiles(harness)
      try Self.cut(harness)
      try harness.unmount()
    }
    clean = disk.image
    let again = SimulatedDisk(clean, seed: seed)
    try Self.mounted(again, memory) { harness in
      try Self.logMore(harness)
      while !again.isIdle { try harness.step() }
    }
    torn = again.image
  }

  private static func mounted(
    _ disk: SimulatedDisk, _ memory: SimulatedMemory, _ body: (Harness) throws -> Void
  ) throws {
    let harness = Harness(service: FileSystem.simulated(memory, disk), disk: disk, memory: memory)
    try harness.mount()
    try body(harness)
  }

  private static func directory(_ name: String, in parent: UInt64, _ harness: Harness) throws -> UInt64 {
    try harness.ask(Call(.mkdir, node: parent, name: name).with { $0.mode = directoryMode }).reply.node
  }

  /// Makes a file with bytes at some offsets.
  @discardableResult
  private static func file(
    _ name: String, in parent: UInt64, _ parts: [(offset: UInt64, count: Int)], _ harness: Harness
  ) throws -> UInt64 {
    let made = try harness.ask(Call(.create, node: parent, name: name).with { $0.mode = fileMode }).reply
    for part in parts {
      _ = try harness.ask(
        Call(.write, node: made.node).with {
          $0.handle = made.handle
          $0.offset = part.offset
          $0.payload = Stamp.bytes(
            file: Int(made.node & 0x7fff), write: 0, offset: part.offset, count: part.count)
        })
    }
    _ = try harness.ask(Call(.release, node: made.node).with { $0.handle = made.handle })
    return made.node
  }

  private static func describe(_ node: UInt64, _ name: String, bytes: Int, _ harness: Harness) throws {
    _ = try harness.ask(
      Call(.setxattr, node: node, name: name).with { $0.otherName = Array(repeating: 65, count: bytes) })
  }

  private static func fillNames(_ harness: Harness) throws {
    let many = try directory("many", in: 1, harness)
    for index in 0..<smallFiles {
      let content = index % 3 == 0 ? [(offset: UInt64(0), count: index)] : []
      let node = try file("name-\(index)", in: many, content, harness)
      if index % 40 == 0 {
        _ = try harness.ask(Call(.link, node: 1, name: "hard-\(index)").with { $0.otherNode = node })
        try describe(node, "user.small", bytes: 40, harness)
        try describe(node, "user.large", bytes: 3900, harness)
        if index % 80 == 0 {
          for number in 0..<40 { try describe(node, "user.number-\(number)", bytes: 20 * number, harness) }
          try describe(node, "user.huge", bytes: 9000 + 100 * index, harness)
        }
      }
    }
    for (name, length) in [("short", 40), ("long", 4000)] {
      let target = Array(String(repeating: "x/", count: length / 2).utf8)
      _ = try harness.ask(Call(.symlink, node: 1, name: name).with { $0.otherName = target })
    }
    var deep = try directory("deep", in: 1, harness)
    for level in 0..<6 {
      try file("leaf", in: deep, [(0, 100)], harness)
      deep = try directory("level-\(level)", in: deep, harness)
    }
  }

  private static func fillFiles(_ harness: Harness) throws {
    try file("direct", in: 1, [(0, 200_000)], harness)
    try file("tree", in: 1, (0..<16).map { (offset: UInt64($0) * 131_072, count: 131_072) }, harness)
    // Lowest map nodes enough for two leaves of the table of nodes.
    let sparse = (0..<250).map { (offset: UInt64($0) << 20, count: 10) }
    try file("sparse", in: 1, sparse + [(1 << 42, 5000)], harness)
    try file("holes", in: 1, [(0, 5000), (100 << 20, 5000)], harness)
    let promised = try file("promised", in: 1, [], harness)
    _ = try harness.ask(Call(.fallocate, node: promised).with { $0.length = 1 << 20 })
  }

  /// Leaves orphans and detached trees.
  private static func cut(_ harness: Harness) throws {
    let held = try file("held", in: 1, [(2 << 20, 250_000)], harness)
    _ = try harness.ask(Call(.unlink, node: 1, name: "held"))
    let cut = try file("cut", in: 1, [(0, 8000), (3 << 20, 250_000)], harness)
    _ = try harness.ask(Call(.fsync, node: cut))
    _ = try harness.ask(Call(.setattr, node: cut).with { $0.change.size = 5000 })
    _ = try harness.ask(Call(.setattr, node: held).with { $0.change.mode = 0o600 })
  }

  /// Makes changes of every kind that are only in the log.
  private static func logMore(_ harness: Harness) throws {
    let log = try directory("log", in: 1, harness)
    for index in 0..<12 {
      let node = try file("logged-\(index)", in: log, [(0, index * index * 700)], harness)
      if index % 3 == 0 { try describe(node, "user.logged", bytes: 100 * index, harness) }
      if index % 6 == 0 { try describe(node, "user.long", bytes: 9000 * index + 1500, harness) }
      if index % 4 == 0 { _ = try harness.ask(Call(.fsync, node: node)) }
    }
    _ = try harness.ask(
      Call(.symlink, node: log, name: "link").with { $0.otherName = Array("target".utf8) })
    _ = try harness.ask(
      Call(.rename, node: log, name: "logged-1").with {
        $0.otherNode = 1
        $0.otherName = Array("moved".utf8)
      })
    _ = try harness.ask(
      Call(.rename, node: log, name: "logged-2").with {
        $0.otherNode = log
        $0.otherName = Array("logged-3".utf8)
      })
    _ = try harness.ask(Call(.unlink, node: log, name: "logged-4"))
    let tree = try harness.ask(Call(.lookup, node: 1, name: "tree")).reply.node
    _ = try harness.ask(Call(.setattr, node: tree).with { $0.change.size = 700_000 })
    _ = try harness.ask(
      Call(.fallocate, node: tree).with {
        $0.offset = 4 << 20
        $0.length = 65536
      })
    for index in 5...6 { _ = try harness.ask(Call(.unlink, node: log, name: "logged-\(index)")) }
    _ = try harness.ask(Call(.fsync, node: tree))
  }
}
