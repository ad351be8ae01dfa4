import Format
import TestSupport
import Testing

@Suite("Log header")
struct LogHeaderTests {
  private static let nonce = Nonce(high: 21, low: 22)

  private struct Made {
    var header: LogHeader
    var block = Block()
  }

  /// A header with random owners, filled up to a random degree.
  private static func make(_ random: inout SplitMix) -> Made {
    var made = Made(header: LogHeader())
    made.header.head = [.foreground, .nodes, .cleaner].randomElement(using: &random) ?? .nodes
    made.header.sequence = random.next()
    made.header.epoch = UInt32(truncatingIfNeeded: random.next())
    made.header.previousChecksum = UInt32(truncatingIfNeeded: random.next())
    made.header.flushedThrough = random.next()
    made.header.nextSegment = UInt32(truncatingIfNeeded: random.next())
    made.header.address = random.next()
    made.header.flags = .random(in: 0...1, using: &random)
    var writer = LogHeaderWriter(made.block.page)
    for _ in 0..<Int.random(in: 0...3, using: &random) {
      made.header.checksums.append(UInt32(truncatingIfNeeded: random.next()))
      writer.addRecordBlock(checksum: made.header.checksums.last ?? 0)
      made.header.recordBlocks += 1
    }
    fill(&made.header, &writer, &random)
    let inline = random.bytes(Int.random(in: 0...max(writer.room, 0), using: &random))
    made.header.inlineRecords = inline
    let size = inline.count + Int(made.header.recordBlocks) * Page.size
    made.header.recordBytes = UInt32(size)
    made.header.checksum = inline.raw {
      writer.finish(
        made.header, inline: $0, recordBytes: size, nonce: nonce, checksum: Checksum(nonce: nonce))
    }
    return made
  }

  private static func fill(
    _ header: inout LogHeader, _ writer: inout LogHeaderWriter, _ random: inout SplitMix
  ) {
    for _ in 0..<Int.random(in: 0...60, using: &random) {
      var run = OwnerRun(
        kind: OwnerKind(rawValue: .random(in: 1...5, using: &random)) ?? .data,
        number: random.next() & (Entry.maximumAddress >> 1), count: 0)
      if run.kind != .inode && run.kind != .internalNode {
        run.index = .random(in: 0...(1 << 40), using: &random)
      }
      for step in 0..<UInt64.random(in: 1...30, using: &random) where writer.hasRoom {
        var one = run
        one.count = 1
        if run.kind == .inode || run.kind == .internalNode { one.number += step } else { one.index += step }
        header.checksums.append(UInt32(truncatingIfNeeded: random.next()))
        writer.add(one, checksum: header.checksums.last ?? 0)
        run.count += 1
      }
      if run.count > 0 { header.runs.append(run) }
    }
  }

  @Test("Decoding returns what was written: owners, checksums in order, records")
  func roundTrip() {
    var random = SplitMix(seed: 40)
    for _ in 0..<200 {
      let made = Self.make(&random)
      let decoded = LogHeader(
        decoding: made.block.page, address: made.header.address, nonce: Self.nonce,
        checksum: Checksum(nonce: Self.nonce))
      #expect(decoded == made.header)
    }
  }

  @Test("A header is invalid at another address, in another filesystem, or with a byte changed")
  func refused() {
    var random = SplitMix(seed: 41)
    let made = Self.make(&random)
    func decode(_ address: UInt64, _ nonce: Nonce) -> LogHeader? {
      LogHeader(
        decoding: made.block.page, address: address, nonce: nonce, checksum: Checksum(nonce: nonce))
    }
    #expect(decode(made.header.address ^ 1, Self.nonce) == nil)
    #expect(decode(made.header.address, Nonce(high: 21, low: 23)) == nil)
    for at in 0..<Page.size {
      made.block.page.store(made.block.page.load(UInt8.self, at: at) ^ 1, at: at)
      #expect(decode(made.header.address, Self.nonce) == nil, "byte \(at)")
      made.block.page.store(made.block.page.load(UInt8.self, at: at) ^ 1, at: at)
    }
  }
}
