import Foundation
import Testing

/// `mkfs.varve` as a user runs it: what it makes, what it refuses, and what it does not change.
@Suite struct MkfsTests {
  private func mkfs(_ arguments: String...) throws -> CommandResult {
    try Command.run("mkfs.varve", arguments)
  }

  @Test func `makes the image, with label and UUID as asked`() throws {
    let uuid = "01234567-89ab-4def-8123-456789abcdef"
    let image = try TestImage()
    let result = try mkfs("-f", "--json", "-L", "Büro 1", "-U", uuid, image.path)
    let made = try result.json()
    #expect(result.status == 0 && made["uuid"] as? String == uuid && made["label"] as? String == "Büro 1")
    #expect(made["bytes"] as? Int == 40 << 20 && made["made"] as? Bool == true)
    #expect(try Command.run("fsck.varve", "-n", image.path).status == 0)
  }

  @Test func `refuses what holds something already, until it is forced`() throws {
    let ours = try TestImage()
    var swap = Data(count: 40 << 20)
    swap.replaceSubrange(4086..<4096, with: Array("SWAPSPACE2".utf8))
    swap.replaceSubrange(1024..<1032, with: [1, 0, 0, 0, 0xFF, 0x1F, 0, 0])
    let foreign = try TestImage(bytes: swap)
    for image in [ours, foreign] {
      let before = try image.contents()
      let refused = try mkfs(image.path)
      #expect(refused.status == 1 && refused.errors.contains("-f"))
      #expect(try image.contents() == before)
      #expect(try mkfs("-f", "-q", image.path).status == 0)
    }
  }

  @Test func `deallocates what there was, unless told to keep it`() throws {
    for (options, isKept) in [(["-f", "-q"], false), (["-f", "-q", "-K"], true)] {
      let image = try TestImage(bytes: Data(repeating: 0xAA, count: 40 << 20))
      #expect(try Command.run("mkfs.varve", options + [image.path]).status == 0)
      let middle = try image.contents()[20 << 20..<21 << 20]
      #expect(middle.allSatisfy { $0 == (isKept ? 0xAA : 0) })
      #expect(try Command.run("fsck.varve", "-n", image.path).status == 0)
    }
  }

  @Test func `a dry run changes nothing`() throws {
    let image = try TestImage(bytes: Data(count: 40 << 20))
    #expect(try mkfs("-n", image.path).output.contains("Would make"))
    #expect(try image.contents() == Data(count: 40 << 20))
  }

  @Test func `a failed attempt leaves no file behind`() throws {
    let path =
      FileManager.default.temporaryDirectory.path(percentEncoded: false) + "/varve-\(UUID().uuidString)"
    #expect(try mkfs(path, "1M").status == 1)
    #expect(!FileManager.default.fileExists(atPath: path))
  }

  @Test(arguments: [
    ["-L", String(repeating: "x", count: 65)], ["-U", "no-uuid"], ["--segment-size", "huge"], ["--bogus"],
  ])
  func `senseless options are refused`(options: [String]) throws {
    let image = try TestImage(bytes: Data(count: 40 << 20))
    let result = try Command.run("mkfs.varve", options + [image.path])
    #expect(result.status == 64 && result.errors.split(separator: "\n").count == 1)
    #expect(try image.contents() == Data(count: 40 << 20))
  }
}
