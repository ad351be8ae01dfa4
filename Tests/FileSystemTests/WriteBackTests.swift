import FileProtocol
import Format
import Glibc
import Simulation
import Testing

@testable import FileSystem

/// What differs where the kernel holds writes back: it sets times itself, and does not send all writes before an
/// operation that depends on them.
@Suite("A kernel with a write-back cache") struct WriteBackTests {
  private static func write(_ file: UInt64, _ count: Int, at offset: UInt64 = 0) -> Call {
    Call(.write, node: file).with {
      $0.payload = pattern(count)
      $0.offset = offset
      $0.isWriteback = true
      $0.keepsTimes = true
    }
  }

  @Test(
    "Writing back leaves the times, in the inode and in blocks, and the kernel's setattr sets all three",
    arguments: [100, 50_000])
  func times(count: Int) throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    let created = try mounted.attributes(file)
    try mounted.harness.idle(1_000_000_000)
    #expect(try mounted.call(Self.write(file, count)).error == 0)
    #expect(try mounted.attributes(file).modificationTime == created.modificationTime)
    #expect(try mounted.attributes(file).changeTime == created.changeTime)
    var change = AttributeChange.times(accessed: nil, modified: 1_000_000_001)
    change.changeTime = 2_000_000_002
    try mounted.change(file, change)
    try mounted.sync(file)
    try mounted.crash()
    let after = try mounted.attributes(try mounted.path("f"))
    #expect(after.modificationTime == 1_000_000_001)
    #expect(after.changeTime == 2_000_000_002)
    #expect(after.size == UInt64(count))
  }

  @Test("Preallocating and punching leave the times too")
  func allocation() throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    try mounted.write(file, pattern(50_000))
    let before = try mounted.attributes(file)
    try mounted.harness.idle(1_000_000_000)
    for mode in [0, LinuxFlag.keepSize | LinuxFlag.punchHole] {
      let call = Call(.fallocate, node: file).with {
        $0.flags = mode
        $0.length = 8192
        $0.keepsTimes = true
      }
      #expect(try mounted.call(call).error == 0)
    }
    #expect(try mounted.attributes(file).modificationTime == before.modificationTime)
  }

  @Test("A file's capabilities that were set before its data was written back stay")
  func capabilities() throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    let name = "security.capability"
    let set = Call(.setxattr, node: file, name: name).with { $0.otherName = [1, 2, 3] }
    #expect(try mounted.call(set).error == 0)
    #expect(try mounted.call(Self.write(file, 50_000)).error == 0)
    let get = Call(.getxattr, node: file, name: name).with { $0.length = 100 }
    #expect(try mounted.call(get).reply.bytes == [1, 2, 3])
    #expect(try mounted.call(Self.write(file, 10).with { $0.isWriteback = false }).error == 0)
    #expect(try mounted.call(get).error == ENODATA, "a write that is none of the kernel's removes them")
  }

  @Test("Replacing a file comes again once the kernel has sent the new file's data")
  func replacing() throws {
    let mounted = try Mounted()
    let old = try mounted.makeFile("old")
    try mounted.write(old, pattern(100, seed: 9))
    let new = try mounted.makeFile("new")
    let rename = Call(.rename, node: 1, name: "new").with {
      $0.otherNode = 1
      $0.otherName = Array("old".utf8)
      $0.isWrittenBack = false
    }
    let asked = try mounted.call(rename)
    #expect(asked.error == 0)
    #expect(asked.reply.writtenBackFirst == new)
    #expect(try mounted.path("old") == old)
    #expect(try mounted.call(Self.write(new, 50_000)).error == 0)
    let answer = try mounted.call(rename.with { $0.isWrittenBack = true })
    #expect(answer.reply.writtenBackFirst == 0)
    #expect(try mounted.path("old") == new)
  }

  @Test("A rename that replaces nothing, and one of a directory, do not wait")
  func renaming() throws {
    let mounted = try Mounted()
    _ = try mounted.makeFile("f")
    _ = try mounted.makeDirectory("d")
    _ = try mounted.makeDirectory("e")
    for (from, to) in [("f", "g"), ("d", "e")] {
      let rename = Call(.rename, node: 1, name: from).with {
        $0.otherNode = 1
        $0.otherName = Array(to.utf8)
        $0.isWrittenBack = false
      }
      #expect(try mounted.call(rename).reply.writtenBackFirst == 0)
      #expect(try mounted.find(from) == nil)
    }
  }

  @Test("A search for data or holes waits for the kernel's writes")
  func searching() throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    let seek = Call(.lseek, node: file).with {
      $0.flags = 3
      $0.isWrittenBack = false
    }
    #expect(try mounted.call(seek).reply.writtenBackFirst == file)
    #expect(try mounted.call(Self.write(file, 50_000)).error == 0)
    let answer = try mounted.call(seek.with { $0.isWrittenBack = true })
    #expect(answer.error == 0 && answer.reply.offset == 0)
  }

  @Test("Replacing a file by one of which nothing could be written back fails")
  func replacingByLost() throws {
    let mounted = try Mounted()
    _ = try mounted.makeFile("old")
    let new = try mounted.makeFile("new")
    var lost = Request()
    lost.node = new
    lost.length = 50_000
    lost.isWriteback = true
    mounted.fileSystem?.pages.loseStores(lost, ENOSPC)
    #expect(try mounted.rename("new", to: "old") == ENOSPC)
    #expect(try mounted.path("new") == new)
    #expect(try mounted.call(Self.write(new, 50_000)).error == 0)
    #expect(try mounted.rename("new", to: "old") == 0)
  }
}
