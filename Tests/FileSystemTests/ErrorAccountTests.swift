import Format
import Glibc
import Testing

@testable import FileSystem
@testable import Simulation

/// What the filesystem keeps, and tells, of what went wrong.
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

  @Test("Damage that was found is still known after the next mount, with time and place")
  func isKept() throws {
    let mounted = try damaged()
    let file = try mounted.path("f")
    #expect(try mounted.call(Call(.read, node: file).with { $0.length = 4096 }).error == EIO)
    let found = try record(mounted)
    #expect(found.count(of: .checksum) == 1 && found.last?.inode == NodeID(raw: file).number)
    try mounted.remount()
    #expect(try record(mounted) == found)
  }

  @Test("A damaged block is told of once, and counted each time")
  func isToldOnce() throws {
    let mounted = try damaged()
    let file = try mounted.path("f")
    for _ in 0..<5 { _ = try mounted.call(Call(.read, node: file).with { $0.length = 4096 }) }
    #expect(try record(mounted).count(of: .checksum) == 5)
    #expect(mounted.fileSystem?.notices.count { $0.contains("checksum error") } == 1)
  }

  @Test("A filesystem that became read-only by an error writes that down")
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

  @Test("A mount that may not write keeps nothing")
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

  @Test("Many errors at once are told of in a few messages, and counted all")
  func rate() {
    var account = ErrorAccount()
    var messages: [String] = []
    for number in 0..<1000 as Range<UInt64> {
      messages += account.add(ErrorRecord.Event(.read, time: 0), "\(number)", place: number, now: number)
    }
    #expect(messages.count == 20 && account.record.total == 1000)
    let next = account.add(ErrorRecord.Event(.read, time: 0), "next", place: 1000, now: 100_000_000_000)
    #expect(next == ["980 more errors were not told of; varve stat counts all", "next"])
  }
}
