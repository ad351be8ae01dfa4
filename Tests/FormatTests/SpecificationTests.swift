import Foundation
import Testing

@testable import Format

/// Reads the tables and the example from the pages of SPEC.
enum Specification {
  /// The lines of a page.
  static func lines(_ page: String) throws -> [Substring] {
    let path = URL(filePath: #filePath).appending(path: "../../../Sources/Format/Format.docc/\(page).md")
    return try String(contentsOf: path.standardized, encoding: .utf8).split(
      separator: "\n", omittingEmptySubsequences: false)
  }

  /// A table: the heading above it, its columns, and the cells of its rows.
  struct Table {
    let heading: String
    let columns: [String]
    var rows: [[String]] = []
  }

  static func tables(_ page: String) throws -> [Table] {
    var tables: [Table] = []
    var heading = ""
    var isInside = false
    for line in try lines(page) {
      if line.hasPrefix("#") { heading = line.drop { $0 == "#" }.trimmingCharacters(in: .whitespaces) }
      guard line.hasPrefix("|") else {
        isInside = false
        continue
      }
      let cells = line.dropFirst().dropLast().split(separator: "|", omittingEmptySubsequences: false)
        .map { $0.trimmingCharacters(in: .whitespaces) }
      if !isInside {
        tables.append(Table(heading: heading, columns: cells))
      } else if !line.hasPrefix("|--") {
        tables[tables.count - 1].rows.append(cells)
      }
      isInside = true
    }
    return tables
  }

  /// The fields in a table, without those whose offset or size is not fixed.
  static func fields(_ table: Table) -> [StructureLayout.Field] {
    table.rows.compactMap { row in
      guard row.count == table.columns.count, let offset = Int(row[0]), let size = Int(row[1]),
        let kind = FieldKind(rawValue: row[2])
      else { return nil }
      return StructureLayout.Field(name: row[3], offset: offset, size: size, kind: kind)
    }
  }

  /// The blocks of the example, by their number; a byte that is not shown is zero.
  static func exampleBlocks() throws -> [UInt64: [UInt8]] {
    var blocks: [UInt64: [UInt8]] = [:]
    var current: UInt64?
    for line in try lines("SPEC-Example") {
      if line.hasPrefix("block "), let number = UInt64(line.dropFirst(6).prefix { $0.isNumber }) {
        current = number
        blocks[number] = [UInt8](repeating: 0, count: Page.size)
      } else if line.hasPrefix("```") {
        current = nil
      } else if let current, let offset = Int(line.prefix(3), radix: 16) {
        let bytes = line.dropFirst(5).prefix(47).split(separator: " ").compactMap { UInt8($0, radix: 16) }
        blocks[current]?.replaceSubrange(offset..<offset + bytes.count, with: bytes)
      }
    }
    return blocks
  }
}

@Suite("SPEC") struct SpecificationTests {
  private static let columns = ["offset", "size", "type", "field", "meaning"]

  @Test("Every table of fields agrees with the code, and every structure has a table")
  func tables() throws {
    let tables = try (Specification.tables("SPEC") + Specification.tables("SPEC-Replay"))
      .filter { $0.columns == Self.columns }
    #expect(tables.map(\.heading).sorted() == StructureLayout.all.map(\.name).sorted())
    for layout in StructureLayout.all {
      let table = try #require(tables.first { $0.heading == layout.name })
      #expect(Specification.fields(table) == layout.fields, "\(layout.name)")
    }
  }

  @Test("A line has at most 120 characters", arguments: ["Format", "SPEC", "SPEC-Replay", "SPEC-Example"])
  func width(_ page: String) throws {
    for line in try Specification.lines(page) { #expect(line.count <= 120, "\(line)") }
  }

  @Test("Fields lie one after the other", arguments: StructureLayout.all.indices)
  func order(_ index: Int) {
    let layout = StructureLayout.all[index]
    var end = 0
    for field in layout.fields {
      #expect(field.offset >= end && field.size > 0, "\(layout.name): \(field.name)")
      end = field.offset + field.size
    }
    #expect(end <= Page.size)
  }

  @Test("The test values of the checksum")
  func checksums() throws {
    let nonce = Nonce(high: 0x0706_0504_0302_0100, low: 0x0F0E_0D0C_0B0A_0908)
    let counting = (0..<Page.size).map { UInt8(truncatingIfNeeded: $0) }
    let inputs: [[UInt8]] = [
      [], Array("123456789".utf8), Array(repeating: 0, count: Page.size), counting,
    ]
    let tables = try Specification.tables("SPEC")
    let table = try #require(tables.first { $0.columns.contains("without nonce") })
    try #require(table.rows.count == inputs.count)
    for (row, bytes) in zip(table.rows, inputs) {
      #expect(UInt32(row[1], radix: 16) == bytes.raw { Checksum.unseeded.of($0) }, "\(row)")
      #expect(UInt32(row[2], radix: 16) == bytes.raw { Checksum(nonce: nonce).of($0) }, "\(row)")
    }
    #expect(counting.raw { Checksum(nonce: nonce).of($0, except: 76) } == 0xFE08_5E38)
  }

  @Test("The test values of the hash")
  func hashes() throws {
    let key: (UInt64, UInt64) = (0x0706_0504_0302_0100, 0x0F0E_0D0C_0B0A_0908)
    let tables = try Specification.tables("SPEC")
    let table = try #require(tables.first { $0.columns.contains("SipHash-2-4") })
    #expect(table.rows.count == 7)
    for row in table.rows {
      let name: [UInt8] =
        switch row[0] {
        case "c3 a4 (ä in UTF-8)": [0xC3, 0xA4]
        case "255 times \"x\"": Array(repeating: UInt8(ascii: "x"), count: 255)
        default: Array(row[0].dropFirst().dropLast().utf8)
        }
      #expect(UInt64(row[1], radix: 16) == name.raw { SipHash.hash($0, key: key) }, "\(row)")
      #expect(UInt64(row[2], radix: 16) == name.raw { DirectoryHash(key: key).of($0) }, "\(row)")
    }
  }

  @Test("The feature bits and their names")
  func features() throws {
    let tables = try Specification.tables("SPEC")
    let table = try #require(
      tables.first { $0.columns == ["set", "bit", "name", "the filesystem may hold"] })
    func bits(_ set: String) -> UInt64 {
      table.rows.filter { $0[0] == set }.compactMap { UInt64($0[1]) }.reduce(0) { $0 | 1 << $1 }
    }
    #expect(bits("incompatible") == Superblock.knownIncompatible)
    #expect(bits("read-only compatible") == Superblock.knownReadOnly)
  }

  @Test("The example decodes to what its page says")
  func example() throws {
    let blocks = try Specification.exampleBlocks().mapValues { Block($0) }
    let superblock = try Superblock(decoding: try #require(blocks[0]).page)
    #expect(superblock.label == Array("example".utf8))
    let checksum = Checksum(nonce: superblock.nonce)
    var bytes = try #require(blocks[1]).bytes
    let decoded = bytes.withUnsafeMutableBytes {
      CheckpointPack(decoding: $0, geometry: superblock.geometry, nonce: superblock.nonce)
    }
    let pack = try #require(decoded)
    #expect(pack.sequence == 6 && pack.epoch == 3 && !pack.isClean)
    #expect(pack.usage.first?.checksum == blocks[3].map { checksum.of($0.page) })
    let table = try #require(blocks[pack.inodes.address]).page
    #expect(checksum.of(table) == pack.inodes.checksum)
    for number in [1, 4] as [UInt64] {
      let entry = Entry(table, at: Int(number) * Entry.size)
      let page = try #require(blocks[entry.address]).page
      #expect(checksum.of(page) == entry.checksum)
      #expect(Inode(page, number: number).isValid(number: number))
    }
    let root = Inode(try #require(blocks[394]).page)
    let hash = DirectoryHash(key: superblock.hashKey)
    for name in ["d", "link", "big"] {
      let bytes = Array(name.utf8)
      #expect(bytes.raw { DirectoryEntries(root).find($0, hash: hash.of($0)) } != nil, "\(name)")
    }
    let header = LogHeader(
      decoding: try #require(blocks[pack.log.block]).page, address: pack.log.block, nonce: superblock.nonce,
      checksum: checksum)
    let records = try #require(header).inlineRecords
    #expect(header?.sequence == pack.log.sequence && header?.epoch == pack.epoch)
    let count = records.raw { bytes in
      var reader = RecordReader(bytes)
      var count = 0
      while reader.next() != nil { count += 1 }
      return reader.isAtEnd ? count : 0
    }
    #expect(count == 4)
  }
}
