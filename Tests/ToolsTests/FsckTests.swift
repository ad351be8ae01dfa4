import Foundation
import Testing

/// `fsck.varve` as a user or fsck(8) runs it: exit statuses and messages.
@Suite struct FsckTests {
  private func fsck(_ arguments: String...) throws -> CommandResult {
    try Command.run("fsck.varve", arguments)
  }

  @Test(arguments: [["-n"], ["-p"], ["-a"], ["-y"], ["-p", "-f"], []] as [[String]])
  func `a new filesystem is clean with every choice`(choice: [String]) throws {
    let image = try TestImage()
    let before = try image.contents()
    let result = try Command.run("fsck.varve", choice + [image.path])
    #expect(result.status == 0 && result.output.contains("clean") && result.errors.isEmpty)
    #expect(try image.contents() == before)
  }

  @Test func `a log still to be replayed is no error, and -n replays it in memory only`() throws {
    let image = try TestImage(bytes: Data(try WrittenFilesystem.bytes(crashes: true)))
    let before = try image.contents()
    let checked = try fsck("-n", "--json", image.path)
    let report = try checked.json()
    #expect(checked.status == 0 && report["log_replayed"] as? Bool == true)
    #expect(report["files"] as? Int == 302 && report["directories"] as? Int == 3)
    #expect(try image.contents() == before)
    #expect(try fsck("-p", image.path).status == 0)
    let again = try fsck("-n", "--json", image.path)
    #expect(try again.json()["log_replayed"] as? Bool == false)
    #expect(try again.json()["files"] as? Int == 302)
  }

  @Test func `a damaged copy is found by -n and mended by -p`() throws {
    let image = try TestImage()
    try image.damage(at: 100)
    let found = try fsck("-n", image.path)
    #expect(found.status == 4 && found.output.contains("superblock: is damaged"))
    #expect(try fsck("-p", "-f", image.path).status == 1)
    #expect(try fsck("-n", image.path).status == 0)
  }

  @Test func `a damaged usage table is rebuilt, also beneath a log that waits to be replayed`() throws {
    for crashes in [false, true] {
      let image = try TestImage(bytes: Data(try WrittenFilesystem.bytes(crashes: crashes)))
      // Packs lie in blocks 1 and 2, the usage pair after them.
      try image.damage(at: 3 * 4096 + 9)
      try image.damage(at: 4 * 4096 + 9)
      #expect(try fsck("-n", image.path).status == 4)
      let mended = try fsck("-y", image.path)
      #expect(mended.status == 1, "\(mended.output)\(mended.errors)")
      let after = try fsck("-n", "--json", image.path)
      #expect(after.status == 0)
      #expect(try after.json()["files"] as? Int == (crashes ? 302 : 301))
    }
  }

  /// The byte offsets of the foreground log writes, in order.
  private static func logWrites(_ image: [UInt8]) -> [Int] {
    func number(_ place: Int) -> UInt64 { (0..<8).reduce(0) { $0 | UInt64(image[place + $1]) << (8 * $1) } }
    let headers = stride(from: 0, to: image.count, by: 4096).filter {
      Array(image[$0..<$0 + 8]) == Array("VARVELG1".utf8) && image[$0 + 64] == 1
    }
    return headers.sorted { number($0 + 24) < number($1 + 24) }
  }

  @Test func `a log damaged in its midst is replayed up to there, when asked for`() throws {
    let bytes = try WrittenFilesystem.bytes(crashes: true)
    let log = Self.logWrites(bytes)
    try #require(log.count >= 3)
    let image = try TestImage(bytes: Data(bytes))
    try image.damage(at: UInt64(log[log.count - 2] + 300))
    let before = try image.contents()
    for choice in ["-n", "-p", "-y"] {
      let refused = try fsck(choice, image.path)
      #expect(refused.status == 4 && "\(refused.output)\(refused.errors)".contains("--drop-log"))
    }
    #expect(try image.contents() == before)
    let given = try fsck("--drop-log", "-y", image.path)
    #expect(given.status == 1 && given.errors.contains("up to its damage"), "\(given.output)\(given.errors)")
    let after = try fsck("-n", "--json", image.path)
    let files = try #require(try after.json()["files"] as? Int)
    #expect(after.status == 0 && files > 200 && files < 302, "\(files) files")
  }

  @Test func `a damaged inode is given up by -y, and a damaged root made anew`() throws {
    let image = try TestImage(bytes: Data(try WrittenFilesystem.bytes(crashes: false)))
    let dump = try Command.run("varve", "dump", "-o", "json", image.path, "inode", "1").json()
    let block = try #require((dump["inode"] as? [String: Any])?["block"] as? Int)
    try image.damage(at: UInt64(block) * 4096 + 17)
    let files = try #require(try fsck("-n", "--json", image.path).json()["files"] as? Int)
    let left = try fsck("-p", "-f", image.path)
    #expect(left.status == 4)
    let mended = try fsck("-y", image.path)
    #expect(mended.status == 1, "\(mended.output)")
    let after = try fsck("-n", "--json", image.path)
    #expect(after.status == 0)
    #expect(try after.json()["files"] as? Int == files)
  }

  @Test func `damage that nothing mends stays an error and is not made worse`() throws {
    let image = try TestImage(bytes: Data(try WrittenFilesystem.bytes(crashes: false)))
    let dump = try Command.run("varve", "dump", "-o", "json", image.path, "checkpoint").json()
    let tables = (dump["checkpoint"] as? [String: Any])?["inodes"] as? [String: Any]
    let block = try #require(tables?["root_block"] as? Int)
    try image.damage(at: UInt64(block) * 4096 + 17)
    let found = try fsck("-n", "--json", image.path)
    let findings = try #require(try found.json()["findings"] as? [[String: Any]])
    #expect(found.status == 4 && !findings.isEmpty)
    let mended = try fsck("-y", image.path)
    #expect(mended.status == 4 && mended.output.contains("cannot be mended"))
  }

  @Test(arguments: [["-n", "-y"], ["-p", "-n"], ["--bogus"], [], ["-n", "--drop-log"]] as [[String]])
  func `a command line that makes no sense exits with 16`(arguments: [String]) throws {
    let result = try Command.run("fsck.varve", arguments + (arguments.isEmpty ? [] : ["/nowhere.img"]))
    #expect(result.status == 16)
    #expect(result.errors.hasPrefix("fsck.varve: ") && result.errors.contains("--help"))
  }

  @Test func `a write protected image is checked with -n only`() throws {
    let image = try TestImage()
    let before = try image.contents()
    let device = "emulated:\(image.path)?wp=1"
    #expect(try fsck("-n", device).status == 0)
    let refused = try fsck("-y", device)
    #expect(refused.status == 8 && refused.errors.contains("write protected; check it with -n"))
    let made = try Command.run("mkfs.varve", "-f", device)
    #expect(made.status == 1 && made.errors.contains("write protected"))
    #expect(try image.contents() == before)
  }

  @Test func `what is no filesystem exits with 8 and one line`() throws {
    let zeros = try TestImage(bytes: Data(count: 40 << 20))
    let short = try TestImage(bytes: Data(count: 10))
    let cut = try TestImage(bytes: try TestImage().contents().prefix(20 << 20))
    for path in [zeros.path, short.path, cut.path, "/nowhere/at/all.img", "/", "/dev/null", "nvme://x"] {
      let result = try fsck("-n", path)
      #expect(result.status == 8, "\(path)")
      #expect(result.errors.split(separator: "\n").count == 1 && result.output.isEmpty, "\(result.errors)")
    }
  }
}
