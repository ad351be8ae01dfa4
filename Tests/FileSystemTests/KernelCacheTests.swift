import FileProtocol
import Format
import Simulation
import Testing

/// Which cached pages the kernel is told to drop after direct writes, and the access time of reads from its
/// cache.
@Suite("The kernel's cache") struct KernelCacheTests {
  private static func write(
    _ mounted: Mounted, _ node: UInt64, at offset: UInt64 = 0, pages: Int = 1, direct: Bool
  ) throws -> Reply {
    let call = Call(.write, node: node).with {
      $0.offset = offset
      $0.payload = pattern(pages * 4096)
      $0.isDirect = direct
    }
    return try mounted.call(call).reply
  }

  private static func read(_ mounted: Mounted, _ node: UInt64, direct: Bool) throws {
    _ = try mounted.call(
      Call(.read, node: node).with {
        $0.length = 4096
        $0.isDirect = direct
      })
  }

  @Test("Direct reads and writes alone leave no pages to drop")
  func direct() throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    for round in 0..<3 {
      #expect(
        try Self.write(mounted, file, at: UInt64(round) * 8192, pages: 2, direct: true).staleBytes == nil)
      try Self.read(mounted, file, direct: true)
    }
  }

  @Test(
    "After a read or write through the cache the pages of direct writes are dropped, in the end all pages once"
  )
  func mixed() throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    for isRead in [false, true] {
      #expect(try Self.write(mounted, file, pages: 4, direct: false).staleBytes == nil)
      if isRead { try Self.read(mounted, file, direct: false) }
      for _ in 1..<64 {
        #expect(try Self.write(mounted, file, at: 4096, pages: 2, direct: true).staleBytes == 4096..<12288)
      }
      let last = try Self.write(mounted, file, at: 4096, pages: 2, direct: true).staleBytes
      #expect(last?.lowerBound == 0)
      #expect((last?.upperBound ?? 0) > Inode.maximumSize)
      #expect(try Self.write(mounted, file, at: 4096, pages: 2, direct: true).staleBytes == nil)
    }
  }

  @Test(
    "A direct write that makes a file longer invalidates its attributes: it may have been truncated meanwhile"
  )
  func longer() throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    #expect(try Self.write(mounted, file, direct: true).attributesChanged)
    #expect(try !Self.write(mounted, file, direct: true).attributesChanged)
  }

  @Test(
    "A GETATTR before a read updates the access time, and any other does not")
  func accessTimes() throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    _ = try Self.write(mounted, file, direct: false)
    try mounted.harness.idle(1_000_000_000)
    let before = try mounted.attributes(file)
    let asked = try mounted.call(Call(.getattr, node: file).with { $0.isForReading = true })
    #expect(asked.reply.attributes.accessTime > before.modificationTime)
    #expect(!asked.reply.isDoubtful)
    try mounted.harness.idle(1_000_000_000)
    let again = try mounted.call(Call(.getattr, node: file).with { $0.isForReading = true })
    #expect(again.reply.attributes == asked.reply.attributes)
  }

  @Test("A few GETATTR replies after a write have no validity, until the file was read")
  func doubt() throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    #expect(try !mounted.call(Call(.getattr, node: file)).reply.isDoubtful)
    for reads in [false, true] {
      _ = try Self.write(mounted, file, direct: false)
      try mounted.harness.idle(1_000_000_000)
      if reads { _ = try mounted.call(Call(.getattr, node: file).with { $0.isForReading = true }) }
      let answers = try (0..<10).map { _ in try mounted.call(Call(.getattr, node: file)).reply.isDoubtful }
      #expect(answers.count { $0 } == (reads ? 0 : 8))
      #expect(answers.last == false)
    }
  }
}
