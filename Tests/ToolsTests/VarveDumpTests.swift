import Foundation
import TestSupport
import Testing

@Suite struct VarveDumpTests {
  private func dump(_ image: TestImage, _ arguments: String...) throws -> [String: Any] {
    let result = try Command.run("varve", ["dump", image.path] + arguments + ["-o", "json"])
    #expect(result.status == 0, "\(result.errors)")
    return try result.json()
  }

  private func refusal(_ image: TestImage, _ arguments: String...) throws -> String {
    let result = try Command.run("varve", ["dump", image.path] + arguments)
    #expect(result.status == 1)
    #expect(result.output == "")
    #expect(result.errors.split(separator: "\n").count == 1)
    return result.errors
  }

  // MARK: A new filesystem

  @Test func showsWhatMkfsMade() throws {
    let image = try TestImage(label: "strata")
    let before = try image.contents()
    let superblock = try dump(image, "superblock")
    #expect(superblock["label"] as? String == "strata")
    #expect(superblock["blocks"] as? Int == 40 << 8)
    let checkpoint = try dump(image, "checkpoint")
    let copies = try #require(checkpoint["copies"] as? [[String: Any]])
    #expect(copies.map { $0["sequence"] as? Int } == [nil, nil, 1, 1])
    #expect((checkpoint["checkpoint"] as? [String: Any])?["clean"] as? Bool == true)
    let usage = try dump(image, "usage")
    #expect(usage["segments"] as? Int == superblock["segments"] as? Int)
    #expect((usage["entries"] as? [Any])?.count == usage["segments"] as? Int)
    let root = try #require(try dump(image, "inode", "1")["inode"] as? [String: Any])
    #expect(root["mode"] as? Int == 0o040755)
    #expect((try dump(image, "directory", "1")["entries"] as? [Any])?.isEmpty == true)
    #expect((try dump(image, "log")["writes"] as? [Any])?.isEmpty == true)
    #expect(try image.contents() == before)
  }

  @Test func showsABlockFieldByField() throws {
    let image = try TestImage(label: "strata")
    func fields(_ block: Int, _ structure: String) throws -> [String: [String: Any]] {
      let dump = try dump(image, "block", "\(block)")
      #expect(dump["structure"] as? String == structure)
      let fields = try #require(dump["fields"] as? [[String: Any]])
      return Dictionary(uniqueKeysWithValues: fields.map { ($0["field"] as? String ?? "", $0) })
    }
    let superblock = try fields(0, "Superblock")
    #expect(superblock["magic"]?["value"] as? String == "VARVEFS1")
    #expect(superblock["block count"]?["value"] as? Int == 40 << 8)
    #expect(superblock["block count"]?["offset"] as? Int == 112)
    let pack = try fields(2, "Checkpoint pack")
    #expect(pack["sequence"]?["value"] as? Int == 1)
    #expect(try refusal(image, "block", "1").contains("no magic number"))
    #expect(try refusal(image, "block", "\(40 << 8)").contains("outside"))
  }

  @Test func theSecondSuperblockServesWhenTheFirstIsDamaged() throws {
    let image = try TestImage()
    try image.damage(at: 100)
    #expect(try dump(image)["label"] as? String == "strata")
    try image.damage(at: 40 << 20 - 100)
    #expect(try refusal(image).contains("fsck.varve"))
  }

  @Test func aForeignImageIsNamedSo() throws {
    #expect(try refusal(try TestImage(bytes: Data(count: 1 << 20))).contains("no Varve filesystem"))
  }

  @Test func damageIsFoundAndNamed() throws {
    let image = try TestImage()
    let block = try #require(
      (try dump(image, "inode", "1")["inode"] as? [String: Any])?["block"] as? UInt64)
    try image.damage(at: block * 4096 + 20)
    #expect(try refusal(image, "inode", "1").contains("inode 1, block \(block), is damaged"))
    #expect(try refusal(image, "directory", "1").contains("damaged"))
  }

  @Test func numbersThatLeadNowhereAreNamed() throws {
    let image = try TestImage()
    #expect(try refusal(image, "inode", "0").contains("there is no inode 0"))
    #expect(try refusal(image, "inode", "18446744073709551615").contains("there is no inode"))
  }

  // MARK: A filesystem in use

  private func filled(crashes: Bool) throws -> TestImage {
    try TestImage(bytes: Data(try WrittenFilesystem.bytes(crashes: crashes)))
  }

  @Test func showsDirectoriesAndFiles() throws {
    let image = try filled(crashes: false)
    let root = try #require(try dump(image, "directory", "1")["entries"] as? [[String: Any]])
    let numbers = Dictionary(
      uniqueKeysWithValues: root.map { ($0["name"] as? String ?? "", $0["inode"] as? Int ?? 0) })
    #expect(Set(numbers.keys) == ["folder", "large"])
    let folder = try #require(
      try dump(image, "directory", "\(numbers["folder"] ?? 0)")["entries"] as? [[String: Any]])
    #expect(Set(folder.compactMap { $0["name"] as? String }) == Set((0..<300).map { "file\($0)" }))
    let cookies = folder.compactMap { $0["cookie"] as? Int }
    #expect(cookies == cookies.sorted() && Set(cookies).count == 300)
    let large = try dump(image, "inode", "\(numbers["large"] ?? 0)")
    let extents = try #require(large["extents"] as? [[String: Int]])
    let indices = extents.flatMap { ($0["index"] ?? 0)..<(($0["index"] ?? 0) + ($0["count"] ?? 0)) }
    #expect(indices == [0, 1, 2, 10, 700])
    #expect((large["inode"] as? [String: Any])?["size"] as? Int == 701 * 4096)
    #expect((try dump(image, "log")["writes"] as? [Any])?.isEmpty == true)
    #expect(try refusal(image, "directory", "\(numbers["large"] ?? 0)").contains("is no directory"))
  }

  @Test func showsTheLogAsRecoveryWouldFollowIt() throws {
    let image = try filled(crashes: true)
    let writes = try #require(try dump(image, "log")["writes"] as? [[String: Any]])
    let sequences = writes.compactMap { $0["sequence"] as? Int }
    #expect(!sequences.isEmpty && sequences == Array((sequences.first ?? 0)...(sequences.last ?? 0)))
    #expect(writes.allSatisfy { $0["whole"] as? Bool == true })
    let records = writes.flatMap { $0["records"] as? [[String: Any]] ?? [] }
    let created = records.filter { $0["record"] as? String == "create" }.compactMap { $0["name"] as? String }
    #expect(created == ["folder"] + (0..<300).map { "file\($0)" } + ["large", "n\"\u{1}"])
    let text = try Command.run("varve", "dump", image.path, "log").output
    #expect(text.contains("name=\"n\"\\x01\""))
    // A block after the last header is damaged: the log write is torn.
    let last = try #require(writes.last { $0["blocks"] as? Int ?? 0 > 0 }?["block"] as? UInt64)
    try image.damage(at: (last + 1) * 4096)
    let torn = try Command.run("varve", "dump", image.path, "log", "-o", "json")
    #expect(torn.output.contains("\"whole\": false"))
  }

  @Test func aTruncatedImageIsNamedSo() throws {
    let whole = try TestImage()
    let image = try TestImage(bytes: try whole.contents().prefix(20 << 20))
    #expect(try refusal(image, "checkpoint").contains("restore the device's size"))
  }

  @Test(arguments: 1...6 as ClosedRange<UInt64>)
  func noDamageMakesItCrash(seed: UInt64) throws {
    let image = try filled(crashes: seed % 2 == 0)
    var random = SplitMix(seed: seed)
    let structures = [
      ["superblock"], ["checkpoint"], ["usage"], ["inode", "3"], ["directory", "1"], ["directory", "3"],
      ["log"],
    ]
    // In the range of superblock, packs, usage table and first segments, and anywhere.
    for limit in [24 << 10, 2 << 20, 64 << 20] as [UInt64] {
      for _ in 0..<3 { try image.damage(at: random.next() % limit) }
      for structure in structures {
        let result = try Command.run("varve", ["dump", image.path] + structure)
        #expect(result.status == 0 || result.status == 1)
        #expect(result.status == 0 || result.errors.hasPrefix("varve: "))
      }
    }
  }
}
