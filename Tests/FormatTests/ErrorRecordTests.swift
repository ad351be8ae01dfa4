import TestSupport
import Testing

@testable import Format

@Suite("The record of errors")
struct ErrorRecordTests {
  private let checksum = Checksum(nonce: Nonce(high: 3, low: 4))

  private func withPage<Result>(_ body: (Page) throws -> Result) rethrows -> Result {
    let memory = UnsafeMutableRawPointer.allocate(byteCount: Page.size, alignment: 16)
    defer { memory.deallocate() }
    return try body(Page(memory))
  }

  @Test("Decoding returns what was encoded")
  func roundTrip() {
    var record = ErrorRecord()
    for (index, kind) in ErrorRecord.Kind.allCases.enumerated() {
      for time in 0...index {
        record.add(
          ErrorRecord.Event(
            kind, time: Int64(time), block: UInt64(index), inode: UInt64.max, code: -Int32(time)))
      }
    }
    withPage { page in
      record.encode(into: page, checksum: checksum)
      #expect(ErrorRecord(decoding: page, checksum: checksum) == record)
      #expect(record.total == 10 && record.count(of: .mount) == 4)
      #expect(record.first?.kind == .checksum && record.last?.kind == .mount)
      // The record of another filesystem is not accepted.
      #expect(ErrorRecord(decoding: page, checksum: Checksum(nonce: Nonce(high: 3, low: 5))).isEmpty)
      for offset in [0, 9, 40, 100, 4092] {
        page.store(page.load(UInt8.self, at: offset) ^ 1, at: offset)
        #expect(ErrorRecord(decoding: page, checksum: checksum).isEmpty)
        page.store(page.load(UInt8.self, at: offset) ^ 1, at: offset)
      }
    }
  }

  @Test("A record without errors is a block of zeros, and zeros are one")
  func empty() {
    withPage { page in
      ErrorRecord().encode(into: page, checksum: checksum)
      #expect(page.bytes(at: 0, count: Page.size).allSatisfy { $0 == 0 })
      #expect(ErrorRecord(decoding: page, checksum: checksum) == ErrorRecord())
    }
  }

  @Test("No other structure has its block", arguments: [8704, 8705, 16384, 33_000, 1_000_000, 1 << 32])
  func place(blocks: UInt64) throws {
    let geometry = try Geometry.fitting(blockCount: blocks)
    let block = try #require(geometry.errorBlock)
    #expect(block == blocks - 2 && block >= geometry.packBlock(slot: 1, copy: 1) + geometry.packBlocks)
    // A filesystem whose packs reach up to the last block has none.
    let least = geometry.segmentEnd + 2 * geometry.packBlocks + 1
    let tight = try Geometry(
      blockCount: least, segmentBlocks: geometry.segmentBlocks, segmentCount: geometry.segmentCount)
    #expect(tight.errorBlock == nil)
  }
}
