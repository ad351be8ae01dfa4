import Format
import JSONValue

/// The log after the last checkpoint, as recovery would follow it.
struct LogDump {
  private struct Write {
    let header: LogHeader
    let records: [Fields]
    /// Whether every block behind the header has the checksum the header says.
    let isWhole: Bool
  }

  private let checkpoint: UInt64
  private var writes: [Write] = []
  /// Why the chain ends where it ends.
  private var end = ""

  init(_ volume: Volume) throws(DumpError) {
    let pack = try volume.checkpoint()
    checkpoint = pack.sequence
    var position = pack.log
    while let header = try follow(position, epoch: pack.epoch, in: volume) {
      let (blocks, isWhole) = try Self.blocks(behind: header, in: volume)
      let records = Self.records(of: header, blocks)
      writes.append(Write(header: header, records: records ?? [], isWhole: isWhole))
      guard records != nil else {
        end = "the records of log write \(header.sequence) are damaged"
        break
      }
      guard let next = Self.position(after: header, in: volume.geometry) else { break }
      position = next
    }
  }

  /// The header of the chain at a position; nil where the chain ends, with the reason in `end`.
  private mutating func follow(
    _ position: LogPosition, epoch: UInt32, in volume: Volume
  ) throws(DumpError) -> LogHeader? {
    let block = try volume.block(position.block)
    let header = block.read {
      LogHeader(
        decoding: $0, address: position.block, nonce: volume.superblock.nonce, checksum: volume.checksum)
    }
    guard let header, header.head == .foreground else {
      end = "block \(position.block) holds no header of the chain"
      return nil
    }
    guard header.sequence == position.sequence, header.epoch == epoch,
      header.previousChecksum == position.previousChecksum, header.nextSegment < volume.geometry.segmentCount,
      let segment = volume.geometry.segment(of: header.address),
      header.address + UInt64(header.blockCount) < Self.end(of: segment, in: volume.geometry)
    else {
      end = "the header in block \(position.block) does not continue the chain"
      return nil
    }
    return header
  }

  /// The block after a segment's last one.
  private static func end(of segment: UInt32, in geometry: Geometry) -> UInt64 {
    geometry.segmentBlock(segment) + UInt64(geometry.segmentBlocks)
  }

  private static func position(after header: LogHeader, in geometry: Geometry) -> LogPosition? {
    guard let segment = geometry.segment(of: header.address) else { return nil }
    var next = LogPosition()
    next.sequence = header.sequence &+ 1
    next.previousChecksum = header.checksum
    next.nextSegment = header.nextSegment
    let behind = header.address + 1 + UInt64(header.blockCount)
    let leaves = header.flags & LogHeader.leavesSegment != 0 || behind >= end(of: segment, in: geometry)
    next.block = leaves ? geometry.segmentBlock(header.nextSegment) : behind
    return next
  }

  /// The bytes of the blocks that carry records, and whether all blocks behind the header match their checksums.
  private static func blocks(
    behind header: LogHeader, in volume: Volume
  ) throws(DumpError) -> (records: [UInt8], areWhole: Bool) {
    var records: [UInt8] = []
    var areWhole = true
    for (index, expected) in header.checksums.enumerated() {
      let block = try volume.block(header.address + 1 + UInt64(index))
      if block.read({ volume.checksum.of($0) }) != expected { areWhole = false }
      if index < Int(header.recordBlocks) {
        records += block.read { Array($0.bytes(at: 0, count: Page.size)) }
      }
    }
    return (records, areWhole)
  }

  /// The records of a log write; nil when they make no sense.
  private static func records(of header: LogHeader, _ blocks: [UInt8]) -> [Fields]? {
    let bytes = (header.inlineRecords + blocks).prefix(Int(header.recordBytes))
    return bytes.withUnsafeBytes { bytes in
      var reader = RecordReader(bytes)
      var records: [Fields] = []
      while let record = reader.next() { records.append(Fields(record)) }
      return reader.isAtEnd ? records : nil
    }
  }

  var json: JSON {
    .object([
      ("checkpoint", .integer(checkpoint)), ("writes", .array(writes.map(Self.json))), ("end", .text(end)),
    ])
  }

  private static func json(_ write: Write) -> JSON {
    let header = write.header
    return .object([
      ("sequence", .integer(header.sequence)), ("block", .integer(header.address)),
      ("epoch", .integer(header.epoch)), ("flushed_through", .integer(header.flushedThrough)),
      ("next_segment", .integer(header.nextSegment)), ("blocks", .integer(header.blockCount)),
      ("whole", .bool(write.isWhole)), ("runs", .array(header.runs.map(json))),
      ("records", .array(write.records.map(\.json))),
    ])
  }

  private static func json(_ run: OwnerRun) -> JSON {
    .object([
      ("kind", .text("\(run.kind)")), ("number", .integer(run.number)),
      ("generation", .integer(run.generation)), ("index", .integer(run.index)),
      ("count", .integer(run.count)),
    ])
  }

  var text: String {
    let lines = writes.flatMap { write -> [String] in
      let header = write.header
      let first =
        "write \(header.sequence)  block \(header.address)  blocks \(header.blockCount)  "
        + "flushed through \(header.flushedThrough)\(write.isWhole ? "" : "  TORN")"
      return [first]
        + header.runs.map {
          "  \($0.kind) \(NodeID(number: $0.number, generation: $0.generation).text) index \($0.index) count \($0.count)"
        } + write.records.map { "  \($0.line)" }
    }
    return (["after checkpoint \(checkpoint):"] + lines + ["end: \(end)"]).joined(separator: "\n")
  }
}
