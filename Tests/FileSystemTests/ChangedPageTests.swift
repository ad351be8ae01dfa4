import Format
import Glibc
import Simulation
import Testing

import FileProtocol
@testable import FileSystem

/// Pages that a device changes after their checksum was checked: using an impossible value is an error.
@Suite("Changed pages") struct ChangedPageTests {
  /// The block of an inode in the filesystem's memory.
  private static func inode(_ node: UInt64, of mounted: Mounted) throws -> Inode {
    let memory = mounted.harness.memory
    let number = NodeID(raw: node).number
    let frames = memory.firstFrame..<memory.firstFrame + memory.frameCount
    let page = frames.lazy.map { Page(memory.base + $0 * Page.size) }.first {
      Inode($0).isValid(number: number)
    }
    return Inode(try #require(page))
  }

  /// A mount with a file of so many bytes.
  private static func file(_ count: Int) throws -> (Mounted, node: UInt64) {
    let mounted = try Mounted()
    let node = try mounted.makeFile("f")
    try #require(try mounted.write(node, pattern(count)) == 0)
    return (mounted, node)
  }

  @Test("Attributes that fill more than the block leave no room for bytes")
  func inlineRoom() throws {
    let (mounted, node) = try Self.file(100)
    try Self.inode(node, of: mounted).attributeLength = 60_000
    try mounted.write(node, pattern(200))
    try mounted.call(Call(.setattr, node: node).with { $0.change.size = 5000 })
    try mounted.call(Call(.setattr, node: node).with { $0.change.size = 0 })
    try mounted.harness.unmount()
  }

  @Test("A map of no levels, or of more than the maximum, is damage", arguments: [0, 5, 8, 255])
  func height(_ height: Int) throws {
    let (mounted, node) = try Self.file(1 << 20)
    try mounted.call(Call(.fsync, node: node))
    try Self.inode(node, of: mounted).height = height
    let read = Call(.read, node: node).with { $0.length = 4096 }
    #expect(try mounted.call(read).error == EIO)
    #expect(try mounted.write(node, pattern(8192), at: 8192) == EIO)
    #expect(try mounted.call(Call(.lseek, node: node).with { $0.flags = 4 }).error == EIO)
    #expect(try mounted.call(Call(.setattr, node: node).with { $0.change.size = 5000 }).error == EIO)
    #expect(try #require(mounted.fileSystem).errorRecord.count(of: .checksum) > 0)
    try mounted.call(Call(.unlink, node: 1, name: "f"))
    try mounted.harness.forget(node)
    try mounted.harness.idle(10_000_000_000)
    try mounted.harness.unmount()
  }

  @Test("A detached tree with an impossible number of levels is not freed", arguments: [0, 6, 255])
  func detachedHeight(_ height: Int) throws {
    let (mounted, node) = try Self.file(1 << 20)
    try mounted.call(Call(.fsync, node: node))
    try mounted.call(Call(.setattr, node: node).with { $0.change.size = 5000 })
    let inode = try Self.inode(node, of: mounted)
    inode.detachedRoot = max(inode.detachedRoot, 1)
    inode.detachedHeight = height
    try mounted.harness.idle(10_000_000_000)
    try mounted.harness.unmount()
  }

  @Test("The number of an inode is the one by which it was found")
  func number() throws {
    let (mounted, node) = try Self.file(100_000)
    let other = try mounted.makeFile("g")
    try mounted.write(other, pattern(50_000))
    let page = try Self.inode(node, of: mounted).page
    page.store(NodeID(raw: other).number, at: 8)
    #expect(try mounted.write(node, pattern(8192)) == 0)
    #expect(try mounted.call(Call(.getattr, node: node)).reply.attributes.number == NodeID(raw: node).number)
    try mounted.call(Call(.setattr, node: node).with { $0.change.size = 0 })
    #expect(try mounted.read(other, count: 50_000) == pattern(50_000))
    try mounted.harness.unmount()
  }

  @Test("Counts at their limits neither overflow nor underflow")
  func counts() throws {
    let (mounted, node) = try Self.file(10)
    let directory = try mounted.makeDirectory("d")
    let file = try Self.inode(node, of: mounted)
    file.links = .max
    #expect(try mounted.call(Call(.link, node: 1, name: "h").with { $0.otherNode = node }).error == EMLINK)
    file.links = 0
    try mounted.call(Call(.unlink, node: 1, name: "f"))
    let inode = try Self.inode(directory, of: mounted)
    inode.links = .max
    inode.entryCount = .max
    inode.size = .max
    _ = try mounted.makeDirectory("sub", in: directory)
    try mounted.call(Call(.rmdir, node: directory, name: "sub"))
    try mounted.harness.unmount()
  }

  @Test("A listing whose keys do not ascend ends with an error")
  func keys() throws {
    let mounted = try Mounted()
    let directory = try mounted.makeDirectory("d")
    for name in ["a", "b", "c"] { _ = try mounted.makeFile(name, in: directory) }
    let inode = try Self.inode(directory, of: mounted)
    let first = try #require(DirectoryEntries(inode).record(at: Inode.inlineStart))
    let list = Call(.readdir, node: directory).with {
      $0.offset = 2
      $0.length = 4096
    }
    let second = first.offset + first.length
    let key: UInt64 = inode.page.load(at: second)
    for wrong in [first.key, 3, .max] {
      inode.page.store(wrong, at: second)
      #expect(try mounted.call(list).error == EIO)
    }
    inode.page.store(key, at: second)
    #expect(try mounted.call(list).reply.entries.count == 3)
    try mounted.harness.unmount()
  }

  @Test("Indices that share their children do not make a listing endless")
  func sharedIndices() throws {
    let mounted = try Mounted()
    let directory = try mounted.makeDirectory("d")
    for name in 0..<400 { _ = try mounted.makeFile("a file with a long name \(name)", in: directory) }
    let system = try #require(mounted.fileSystem)
    let inode = try Self.inode(directory, of: mounted)
    func page(_ number: UInt64) -> Page {
      system.cache.page(system.cache.find(NodeKey(.internalNode, number)))
    }
    let root = DirectoryIndex(page(inode.root & ~DirectoryIndex.referenceFlag))
    var leaves: [UInt64] = []
    for slot in 0..<DirectoryIndex.slots where !leaves.contains(root[slot]) { leaves.append(root[slot]) }
    try #require(leaves.count >= 4)
    // Slots refer in turn to two indices, of two leaves without names, so that no two neighbours are equal.
    for leaf in leaves[2..<4] { DirectoryLeaf(page(leaf)).length = 0 }
    for number in leaves[..<2] {
      let index = DirectoryIndex(page(number))
      index.initialize(owner: inode.number, depth: 1)
      for slot in 0..<DirectoryIndex.slots { index[slot] = leaves[2 + slot % 2] }
    }
    for slot in 0..<DirectoryIndex.slots {
      root[slot] = leaves[slot % 2] | DirectoryIndex.referenceFlag
    }
    let list = Call(.readdir, node: directory).with {
      $0.offset = 2
      $0.length = 4096
    }
    #expect(try mounted.call(list).error == EIO)
    #expect(system.errorRecord.count(of: .checksum) > 0)
    try mounted.harness.unmount()
  }
}
