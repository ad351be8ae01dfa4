import FileProtocol
import Format
import Glibc
import Testing

@testable import Simulation

/// Every access to an inode that cannot be read is an error, and its name can be removed.
@Suite("Unreadable inodes") struct UnreadableTests {
  /// Six files in a directory; the inodes of those named are made unreadable.
  private static func withDamaged(_ names: [String]) throws -> (
    Mounted, directory: UInt64, nodes: [String: UInt64]
  ) {
    let mounted = try Mounted()
    let directory = try mounted.makeDirectory("d")
    var nodes: [String: UInt64] = [:]
    for name in ["a", "b", "c", "e", "f"] {
      nodes[name] = try mounted.makeFile(name, in: directory)
      try mounted.write(try #require(nodes[name]), pattern(9000))
    }
    nodes["sub"] = try mounted.makeDirectory("sub", in: directory)
    try mounted.remount { image in
      for name in names { try image.damageInode(try #require(nodes[name])) }
    }
    return (mounted, directory, nodes)
  }

  @Test("A listing sends it without a node and without attributes, and lookups count what the kernel counts")
  func listing() throws {
    let (mounted, directory, nodes) = try Self.withDamaged(["b", "sub"])
    let answer = try mounted.call(
      Call(.readdirplus, node: directory).with { $0.length = 32768 })
    #expect(answer.error == 0)
    let entries = answer.reply.entries.filter { $0.cookie > 2 }
    #expect(entries.count == 6)
    for entry in entries {
      let name = String(decoding: entry.name, as: UTF8.self)
      let isDamaged = name == "b" || name == "sub"
      #expect(entry.node == (isDamaged ? 0 : nodes[name]))
      #expect(isDamaged || name == "sub" || entry.attributes.size == 9000)
      #expect(
        entry.attributes.mode & FileType.mask == (name == "sub" ? FileType.directory : FileType.regular))
    }
    let known = try #require(mounted.fileSystem?.state.inodes)
    for node in mounted.harness.lookups.keys { try mounted.harness.forget(node) }
    #expect(mounted.fileSystem?.state.inodes == known - 4)
  }

  @Test("A lookup finds it, so that its name can be removed; every other access is EIO")
  func looking() throws {
    let (mounted, directory, nodes) = try Self.withDamaged(["b"])
    for _ in 0..<3 {
      let answer = try mounted.call(Call(.lookup, node: directory, name: "b"))
      #expect(answer.error == 0)
      #expect(answer.reply.isUnreadable)
      #expect(answer.reply.node == nodes["b"])
      let node = answer.reply.node
      for operation in [Operation.getattr, .read, .open, .listxattr, .readlink, .readdir, .write] {
        #expect(
          try mounted.call(Call(operation, node: node).with { $0.length = 4096 }).error == EIO, "\(operation)"
        )
      }
      try mounted.harness.forget(node)
    }
    let entries = try mounted.list(directory)
    #expect(entries.contains("b"))
  }

  @Test(
    "Its name can be removed or replaced, also after a crash; the name of an unreadable directory stays")
  func removing() throws {
    let (mounted, directory, nodes) = try Self.withDamaged(["a", "b", "sub"])
    #expect(try mounted.unlink("a", in: directory) == 0)
    #expect(try mounted.rename("c", in: directory, to: "b", under: directory) == 0)
    #expect(try mounted.call(Call(.rmdir, node: directory, name: "a")).error == ENOENT)
    #expect(try mounted.call(Call(.rmdir, node: directory, name: "sub")).error == EIO)
    #expect(try mounted.unlink("sub", in: directory) == EISDIR)
    #expect(try mounted.rename("e", in: directory, to: "sub", under: directory) == EISDIR)
    #expect(try mounted.sync(directory) == 0)
    for _ in 0..<2 {
      #expect(try mounted.list(directory).sorted() == ["b", "e", "f", "sub"])
      #expect(try mounted.find("b", in: directory) == nodes["c"])
      #expect(try mounted.read(try #require(nodes["c"]), count: 9000) == pattern(9000))
      try mounted.crash(.none)
    }
  }

  @Test("A listing that fails after it has begun to read inodes is answered once")
  func impossibleName() throws {
    let mounted = try Mounted()
    let directory = try mounted.makeDirectory("d")
    for name in ["a", "b"] { _ = try mounted.makeFile(name, in: directory) }
    try mounted.remount(editing: { image in
      image.editTable(.inodeTable, level: -1, index: NodeID(raw: directory).number) { page in
        let entries = DirectoryEntries(Inode(page))
        guard let first = entries.record(at: entries.start) else { return }
        let second = entries.start + first.length
        page.store(UInt8(ascii: "/"), at: second + DirectoryRecord.fixedSize)
      }
    })
    let answer = try mounted.call(Call(.readdirplus, node: directory).with { $0.length = 32768 })
    #expect(answer.error == EIO)
    // The inode of the first name arrives, and no request waits for it.
    try mounted.settle()
    #expect(mounted.harness.disk.statistics.reads > 0)
  }

  @Test("Inodes whose table block is damaged are unreadable too")
  func table() throws {
    let mounted = try Mounted()
    let directory = try mounted.makeDirectory("d")
    // Numbers ascend, beyond the first leaf of the table.
    for index in 0..<300 { _ = try mounted.makeFile("file-\(index)", in: directory) }
    let last = try mounted.path("d/file-299")
    try mounted.remount { image in try image.damageTableLeaf(of: last) }
    let answer = try mounted.call(Call(.readdirplus, node: directory).with { $0.length = 60000 })
    #expect(answer.error == 0)
    #expect(answer.reply.entries.contains { $0.node == 0 })
    #expect(try mounted.unlink("file-299", in: directory) == 0)
    #expect(try mounted.find("file-299", in: directory) == nil)
  }
}

extension DiskImage {
  /// Overwrites every block that holds a version of this inode.
  mutating func damageInode(_ node: UInt64) throws {
    let number = NodeID(raw: node).number
    try damage { page in page.load(UInt32.self, at: 0) == Inode.magic && Inode(page).number == number }
  }

  /// Overwrites every block that is the lowest table block above this inode: one of entries, the inode's
  /// among them.
  mutating func damageTableLeaf(of node: UInt64) throws {
    let geometry = try Superblock(decoding: Page(pool.bytes(versions[0]))).geometry
    let slot = Int(NodeID(raw: node).number & 255) * Entry.size
    let places = (0..<blockCount).filter { block in
      let page = Page(pool.bytes(versions[Int(block)]))
      return page.load(UInt32.self, at: 0) == Inode.magic && Inode(page).id.raw == node
    }
    try damage { page in
      let entry = Entry(page, at: slot)
      return places.contains(entry.address) && geometry.segment(of: entry.address) != nil
    }
  }

  /// Overwrites every block of which `matches` is true; there must be one.
  mutating func damage(_ matches: (Page) -> Bool) throws {
    var found = 0
    for block in versions.indices where matches(Page(pool.bytes(versions[block]))) {
      let version = pool.add(pool.bytes(versions[block]))
      pool.bytes(version).storeBytes(of: 0xDEAD, toByteOffset: 2048, as: UInt16.self)
      versions[block] = version
      found += 1
    }
    try #require(found > 0)
  }
}
