import FileProtocol
import Format
import Simulation
import Testing

/// After a crash every attribute has the value that it had when everything was synced.
@Suite("Attributes after a crash") struct ReplayedAttributeTests {
  private static let farFuture: Int64 = 4_102_444_800_000_000_000

  @Test("The change time does not follow a modification time set by utimensat", arguments: [100, 100_000])
  func changeTime(size: Int) throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    try mounted.write(file, pattern(size))
    var change = AttributeChange()
    change.modificationTime = Self.farFuture
    change.accessTime = Self.farFuture
    try mounted.change(file, change)
    try mounted.sync(file)
    let before = try mounted.attributes(file)
    #expect(before.modificationTime == Self.farFuture)
    #expect(before.changeTime < Self.farFuture)
    try mounted.crash()
    #expect(try mounted.attributes(try mounted.path("f")) == before)
  }

  @Test("The change time does not go back to that of a write that is logged after the change")
  func changeAfterWrite() throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    try mounted.write(file, pattern(100_000))
    try mounted.settle()
    try mounted.write(file, pattern(4096, seed: 2))
    try mounted.harness.idle(1_000_000)
    try mounted.change(file, .mode(0o600))
    try mounted.sync(file)
    let before = try mounted.attributes(file)
    #expect(before.changeTime > before.modificationTime)
    try mounted.crash()
    #expect(try mounted.attributes(try mounted.path("f")) == before)
  }

  /// While the file had a map, its attribute lay in a node. Recovery, which finds the file inline, may put
  /// the attribute beside its bytes, and then larger contents do not fit.
  @Test("A file that had a map, was truncated and is inline again", arguments: [false, true])
  func inlineBesideAttribute(isAllocated: Bool) throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    try mounted.write(file, pattern(100))
    try mounted.settle()
    try mounted.write(file, pattern(10_000))
    var attribute = Call(.setxattr, node: file, name: "user.a")
    attribute.otherName = pattern(2000)
    #expect(try mounted.call(attribute).error == 0)
    var change = AttributeChange()
    change.size = 0
    try mounted.change(file, change)
    if isAllocated {
      #expect(try mounted.allocate(file, 0, 0, 2500) == 0)
    } else {
      change.size = 2500
      try mounted.change(file, change)
    }
    try mounted.write(file, pattern(5, seed: 2))
    try mounted.sync(try mounted.makeFile("g"))
    try mounted.crash()
    let expected = pattern(5, seed: 2) + [UInt8](repeating: 0, count: 2495)
    #expect(try mounted.read(try mounted.path("f"), count: 4000) == expected)
  }

  @Test("All attributes of everything, after many changes", arguments: 1...6 as ClosedRange<UInt64>)
  func everything(seed: UInt64) throws {
    let mounted = try Mounted(seed: seed)
    var changes = RandomChanges(mounted, seed: seed)
    for _ in 0..<3 {
      for _ in 0..<80 { try changes.step() }
      for node in changes.nodes { try mounted.sync(node) }
      let before = try Recovered(mounted.harness)
      try mounted.crash()
      let after = try Recovered(mounted.harness)
      #expect(before.nodes.keys.sorted() == after.nodes.keys.sorted())
      for (id, node) in before.nodes {
        var found = after.nodes[id]
        // The read for the comparison has updated it.
        found?.attributes.accessTime = node.attributes.accessTime
        #expect(found == node, "node \(id)")
      }
    }
  }
}

/// Changes of every kind to a few files, directories and links.
private struct RandomChanges {
  private let mounted: Mounted
  private var random: SeededRandom
  private var serial = 0
  private(set) var nodes: [UInt64] = [1]
  private var directories: [UInt64] = [1]
  private var names: [(parent: UInt64, name: String, node: UInt64, isDirectory: Bool)] = []

  init(_ mounted: Mounted, seed: UInt64) {
    self.mounted = mounted
    random = SeededRandom(seed, stream: 0x6368_616e)
  }

  private var files: [UInt64] { names.filter { !$0.isDirectory }.map(\.node) }

  mutating func step() throws {
    serial += 1
    // So that no two changes have the same time.
    try mounted.harness.idle(1_000_000)
    let parent = random.pick(directories) ?? 1
    let file = random.pick(files) ?? 0
    let offset = UInt64(random.number(0...40) * 3000)
    switch random.below(14) {
    case 0, 1: try make(in: parent)
    case 2: try makeDirectory(in: parent)
    case 3 where file != 0:
      let name = "link-\(serial)"
      if try mounted.call(Call(.link, node: parent, name: name).with { $0.otherNode = file }).error == 0 {
        names.append((parent, name, file, false))
      }
    case 4, 5,
      6 where file != 0:
      try mounted.write(file, pattern(random.number(1...9000)), at: offset)
    case 7 where file != 0:
      var change = AttributeChange()
      change.size = UInt64(random.number(0...100_000))
      try mounted.change(file, change)
    case 8 where file != 0:
      _ = try mounted.allocate(file, UInt32(random.pick([0, 1, 3, 16, 17]) ?? 0), offset, 9000)
    case 9: try changeAttributes(random.pick(nodes) ?? 1)
    case 10 where file != 0:
      _ = try mounted.call(
        Call(.setxattr, node: file, name: "user.x\(random.below(3))").with {
          $0.otherName = pattern(random.number(1...1500))
        })
    case 11: try rename(into: parent)
    case 12: try remove()
    default: break
    }
  }

  private mutating func make(in parent: UInt64) throws {
    let name = "file-\(serial)"
    let node = try mounted.makeFile(name, in: parent)
    nodes.append(node)
    names.append((parent, name, node, false))
  }

  private mutating func makeDirectory(in parent: UInt64) throws {
    guard directories.count < 8 else { return }
    let name = "directory-\(serial)"
    let node = try mounted.makeDirectory(name, in: parent)
    nodes.append(node)
    directories.append(node)
    names.append((parent, name, node, true))
  }

  private mutating func changeAttributes(_ node: UInt64) throws {
    var change = AttributeChange()
    if random.chance(50) { change.mode = UInt32(random.below(0o1000)) }
    if random.chance(30) { change.uid = UInt32(random.below(100)) }
    if random.chance(50) { change.accessTime = Int64(random.below(1 << 40)) }
    if random.chance(50) { change.modificationTime = Int64(random.below(1 << 40)) << 22 }
    try mounted.change(node, change)
  }

  /// Renames to a new name or over an existing one, or exchanges two names.
  private mutating func rename(into parent: UInt64) throws {
    guard let index = names.indices.randomElement(using: &random) else { return }
    let old = names[index]
    let other = names.indices.randomElement(using: &random).map { names[$0] }
    let flags: UInt32 = random.chance(30) ? 2 : 0
    let replaces = flags != 0 || random.chance(30)
    let target = replaces ? other : nil
    let (newParent, newName) = (target?.parent ?? parent, target?.name ?? "renamed-\(serial)")
    guard
      try mounted.rename(old.name, in: old.parent, to: newName, under: newParent, flags: flags) == 0,
      old.parent != newParent || old.name != newName
    else { return }
    try relist()
  }

  private mutating func remove() throws {
    guard let name = names.filter({ !$0.isDirectory }).randomElement(using: &random) else { return }
    try mounted.unlink(name.name, in: name.parent)
    try relist()
  }

  /// Lists the names as they are now.
  private mutating func relist() throws {
    let found = try Recovered(mounted.harness)
    names = found.nodes.sorted { $0.key < $1.key }.flatMap { parent, node in
      node.entries.sorted { $0.key < $1.key }.map { name, child in
        let mode = found.nodes[child]?.attributes.mode ?? 0
        return (parent, name, child, mode & FileType.mask == FileType.directory)
      }
    }
    nodes = found.nodes.keys.sorted()
    directories = [1] + names.filter(\.isDirectory).map(\.node)
  }
}
