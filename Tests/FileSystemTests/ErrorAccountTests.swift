import Format
import Glibc
import Testing

import FileProtocol
@testable import FileSystem
@testable import Simulation

/// The error record, and the messages about errors.
@Suite struct ErrorAccountTests {
  private func record(_ mounted: Mounted) throws -> ErrorRecord {
    try #require(mounted.fileSystem).errorRecord
  }

  /// A filesystem with a file whose blocks are damaged.
  private func damaged() throws -> Mounted {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    try mounted.write(file, [UInt8](repeating: 7, count: 8 * 4096), at: 0)
    try mounted.sync(file)
    try mounted.remount { image in
      try image.damage { page in page.bytes(at: 0, count: Page.size).allSatisfy { $0 == 7 } }
    }
    return mounted
  }

  @Test("Damage that was found is still in the record after the next mount, with time and place")
  func isKept() throws {
    let mounted = try damaged()
    let file = try mounted.path("f")
    #expect(try mounted.call(Call(.read, node: file).with { $0.length = 4096 }).error == EIO)
    let found = try record(mounted)
    #expect(found.count(of: .checksum) == 1 && found.last?.inode == NodeID(raw: file).number)
    try mounted.remount()
    #expect(try record(mounted) == found)
  }

  @Test("A damaged block is reported once, and counted each time")
  func isToldOnce() throws {
    let mounted = try damaged()
    let file = try mounted.path("f")
    for _ in 0..<5 { _ = try mounted.call(Call(.read, node: file).with { $0.length = 4096 }) }
    #expect(try record(mounted).count(of: .checksum) == 5)
    #expect(mounted.fileSystem?.notices.count { $0.contains("checksum error") } == 1)
  }

  /// The message about a damaged file `a/b/f` after it was looked up, and `change` done.
  private func message(frames: Int = 2048, _ change: (Mounted, UInt64) throws -> Void) throws -> String? {
    let mounted = try Mounted(frames: frames)
    let folder = try mounted.makeDirectory("b", in: try mounted.makeDirectory("a"))
    let file = try mounted.makeFile("f", in: folder)
    try mounted.write(file, [UInt8](repeating: 7, count: 4 * 4096), at: 0)
    try mounted.remount { image in
      try image.damage { page in page.bytes(at: 0, count: Page.size).allSatisfy { $0 == 7 } }
    }
    let found = try mounted.path("a/b/f")
    try change(mounted, try mounted.path("a/b"))
    _ = try mounted.call(Call(.read, node: found).with { $0.length = 4096 })
    try mounted.harness.idle(1_000_000)
    return mounted.fileSystem?.notices.first { $0.contains("checksum error") }
  }

  @Test("A message names the path, also after a move")
  func pathsAreNamed() throws {
    #expect(try message { _, _ in }?.hasPrefix("/a/b/f: checksum error in inode ") == true)
    let moved = try message { mounted, folder in
      try mounted.call(
        Call(.rename, node: folder, name: "f").with { call in
          call.otherNode = 1
          call.otherName = Array("new\nname".utf8)
        })
    }
    #expect(moved?.hasPrefix("/new\\x0aname: checksum error") == true)
    let gone = try message { mounted, folder in _ = try mounted.unlink("f", in: folder) }
    #expect(gone?.hasPrefix("checksum error in inode ") == true)
  }

  @Test("A message names the block, and what the device said of it")
  func blocksAreNamed() throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    try mounted.write(file, pattern(4 * 4096))
    try mounted.remount()
    let again = try mounted.path("f")
    var asked: [Range<UInt64>?] = []
    mounted.fileSystem?.deviceStatus = { blocks in
      asked.append(blocks)
      return "Unrecovered Read Error"
    }
    mounted.harness.disk.faults = [DiskFault(.read, count: 1)]
    #expect(try mounted.call(Call(.read, node: again).with { $0.length = 4096 }).error == EIO)
    try mounted.harness.idle(1_000_000)
    let block = try #require(asked.first??.lowerBound)
    #expect(block > 0 && asked.allSatisfy { $0 == block..<block + 1 })
    let message = try #require(mounted.fileSystem?.notices.first { $0.contains("cannot be read") })
    #expect(message.hasPrefix("/f: inode ") && message.hasSuffix("[block \(block), Unrecovered Read Error]"))
    #expect(mounted.fileSystem?.errorRecord.last?.block == block)
  }

  @Test("A message about a log write, a checkpoint or a flush names what failed")
  func writesAreNamed() throws {
    func notices(_ fault: DiskFault) throws -> [String] {
      let mounted = try Mounted()
      let file = try mounted.makeFile("f")
      mounted.fileSystem?.deviceStatus = { $0 == nil ? "Flush failed" : "Write Fault" }
      mounted.harness.disk.faults = [fault]
      try mounted.write(file, pattern(300_000))
      _ = try mounted.sync(file)
      try mounted.settle()
      return mounted.fileSystem?.notices ?? []
    }
    let geometry = try Geometry.fitting(blockCount: 64 * 256)
    let log = try notices(DiskFault(.write, blocks: geometry.segmentBlock(0)..<UInt64.max))
    #expect(log.contains { $0.hasPrefix("a log write failed") && $0.hasSuffix(", Write Fault]") }, "\(log)")
    #expect(log.contains { $0.contains("[blocks ") }, "\(log)")
    let pack = try notices(DiskFault(.write, blocks: 0..<geometry.firstSegmentBlock, count: .max))
    #expect(
      pack.contains { $0.contains("checkpoint 4 could not be written") && $0.contains(" [block ") }, "\(pack)"
    )
    let flush = try notices(DiskFault(.flush, count: .max))
    #expect(flush.contains { $0.hasSuffix("[Flush failed]") }, "\(flush)")
  }

  @Test("A message names a directory that cannot be read")
  func directoriesAreNamed() throws {
    let mounted = try Mounted()
    let folder = try mounted.makeDirectory("big")
    for number in 0..<200 { _ = try mounted.makeFile("a name of some length, number \(number)", in: folder) }
    try mounted.remount { image in
      try image.damage { page in DirectoryLeaf(page).owner == NodeID(raw: folder).number }
    }
    let again = try mounted.path("big")
    _ = try mounted.call(Call(.readdir, node: again).with { $0.length = 65536 })
    try mounted.harness.idle(1_000_000)
    #expect(mounted.fileSystem?.notices.contains { $0.hasPrefix("/big: checksum error") } == true)
  }

  @Test("A filesystem that an error has made read-only records the error")
  func isWrittenAfterAFailure() throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    let segments = try Geometry.fitting(blockCount: 64 * 256).segmentBlock(0)..<UInt64.max
    let errors = try #require(try Geometry.fitting(blockCount: 64 * 256).errorBlock)
    mounted.harness.disk.faults = [
      DiskFault(.write, blocks: segments.lowerBound..<errors, skip: 0, count: .max)
    ]
    try mounted.write(file, [1, 2, 3], at: 0)
    #expect(try mounted.sync(file) == EIO)
    mounted.harness.disk.faults = []
    try mounted.remount()
    #expect(try record(mounted).count(of: .write) > 0)
  }

  @Test("A read-only mount does not write the record")
  func isNotWrittenReadOnly() throws {
    let mounted = try damaged()
    var options = Options()
    options.readOnly = true
    try mounted.remount(options)
    let file = try mounted.path("f")
    _ = try mounted.call(Call(.read, node: file).with { $0.length = 4096 })
    #expect(try record(mounted).count(of: .checksum) == 1)
    try mounted.remount(Options())
    #expect(try record(mounted).isEmpty)
  }

  @Test("Many errors at once are reported in a few messages, and all are counted")
  func rate() {
    var account = ErrorAccount()
    var messages: [String] = []
    for number in 0..<1000 as Range<UInt64> {
      messages += account.add(ErrorRecord.Event(.read, time: 0), "\(number)", place: number, now: number)
    }
    #expect(messages.count == 20 && account.record.total == 1000)
    let next = account.add(ErrorRecord.Event(.read, time: 0), "next", place: 1000, now: 100_000_000_000)
    #expect(next == ["980 more errors were not reported; varve stat counts all", "next"])
  }
}
