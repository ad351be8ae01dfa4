import Foundation
import Testing

/// Format NVM by `varve format` and `mkfs.varve --format`, on images that store their format.
@Suite struct VarveFormatTests {
  /// Whether the filesystem of the images has extended attributes, without which an image has only one
  /// format.
  private func keepsFormats(_ image: TestImage) throws -> Bool {
    try formats(image.path).count > 1
  }

  private func namespace(_ device: String) throws -> [String: Any] {
    let result = try Command.run("varve", "ns", device, "-o", "json").json()
    return try #require((result["namespaces"] as? [[String: Any]])?.first)
  }

  private func formats(_ device: String) throws -> [[String: Any]] {
    try #require(try namespace(device)["lbafs"] as? [[String: Any]])
  }

  private func blockSize(_ device: String) throws -> Int {
    let namespace = try namespace(device)
    let formats = try #require(namespace["lbafs"] as? [[String: Int]])
    return 1 << (formats[try #require(namespace["in_use"] as? Int)]["ds"] ?? 0)
  }

  @Test func asksBeforeAnythingIsLost() throws {
    let image = try TestImage()
    let before = try image.contents()
    let refused = try Command.run("varve", "format", image.path)
    #expect(refused.status == 1)
    #expect(refused.errors.contains("holds a varve filesystem called 'strata'"))
    #expect(try image.contents() == before)
    let done = try Command.run("varve", "format", image.path, "--force")
    #expect(done.status == 0)
    #expect(try image.contents() == Data(count: 40 << 20))
  }

  @Test(arguments: ["0", "1", "2"]) func everyWayToEraseLeavesZeros(ses: String) throws {
    let image = try TestImage()
    let result = try Command.run("varve", "format", image.path, "--ses", ses, "-f", "-o", "json")
    #expect(result.status == 0)
    #expect(try result.json()["nsid"] as? Int == 1)
    #expect(try image.contents() == Data(count: 40 << 20))
  }

  @Test func theSizeOfBlocksStays() throws {
    let image = try TestImage(bytes: Data(count: 40 << 20))
    guard try keepsFormats(image) else { return }
    for size in [512, 4096, 512] {
      #expect(try Command.run("varve", "format", image.path, "--block-size", "\(size)").status == 0)
      #expect(try blockSize(image.path) == size)
      // The chosen format overrides the option in the name.
      #expect(try blockSize("emulated:\(image.path)?block=4096") == size)
    }
    #expect(try Command.run("mkfs.varve", "-q", "--format", "1", image.path).status == 0)
    #expect(try blockSize(image.path) == 4096)
    let again = try Command.run("mkfs.varve", "--format", "0", image.path)
    #expect(again.status == 1 && again.errors.contains("use -f"))
    #expect(try Command.run("mkfs.varve", "-q", "-f", "--format", "0", image.path).status == 0)
    #expect(try blockSize(image.path) == 512)
    #expect(try Command.run("fsck.varve", "-n", image.path).status == 0)
  }

  @Test func onlyTheNamedNamespaceIsFormatted() throws {
    let (one, two) = (try TestImage(), try TestImage(label: "second"))
    let before = try one.contents()
    let device = "emulated:\(one.path)?namespace=\(two.path)&nsid=2"
    let refused = try Command.run("varve", "format", device)
    #expect(refused.errors.contains("namespace 2") && refused.errors.contains("'second'"))
    #expect(try Command.run("varve", "format", device, "-f").status == 0)
    #expect(try one.contents() == before)
    #expect(try two.contents() == Data(count: 40 << 20))
  }

  @Test(arguments: [
    (["--lbaf", "9", "-f"], 1, "no LBA format 9"),
    (["--block-size", "2048", "-f"], 1, "no format of 2048 bytes"),
    (["--ses", "3"], 2, "--ses"), (["--pi", "4"], 2, "--pi"),
    (["--lbaf", "0", "--block-size", "512"], 2, "either"),
    (["--block-size", "x"], 2, "no size"),
  ])
  func refusesWhatCannotBe(options: [String], status: Int, text: String) throws {
    let image = try TestImage()
    let before = try image.contents()
    let result = try Command.run("varve", ["format", image.path] + options)
    #expect(Int(result.status) == status)
    #expect(result.errors.contains(text))
    #expect(try image.contents() == before)
  }

  @Test func aNamespaceThatIsNotThereIsNamed() throws {
    let image = try TestImage()
    let result = try Command.run("varve", "format", "emulated:\(image.path)?nsid=3", "-f")
    #expect(result.status == 1 && result.errors.contains("no namespace 3; the controller has 1"))
  }

  @Test func aResetLosesNothing() throws {
    let image = try TestImage()
    let before = try image.contents()
    let result = try Command.run("varve", "reset", image.path, "-o", "json")
    #expect(result.status == 0)
    #expect(try result.json()["state"] as? String == "ready")
    #expect(try image.contents() == before)
    let refused = try Command.run("varve", "reset", image.path, "--function")
    #expect(refused.status == 1 && refused.errors.contains("no PCI function"))
  }

  @Test func mkfsSaysWhatItNeedsToErase() throws {
    let image = try TestImage()
    #expect(try Command.run("mkfs.varve", image.path, "--secure-erase", "1").errors.contains("--format"))
    #expect(try Command.run("mkfs.varve", image.path, "--format", "0", "--secure-erase", "5").status != 0)
  }
}
