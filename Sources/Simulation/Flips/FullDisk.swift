import FileProtocol
import FileSystem
import Format
import Glibc

/// A disk with a small filesystem that is filled to the last block with files of every kind, unmounted in
/// order.
struct FullDisk {
  /// The contents of files, by path.
  private(set) var contents: [String: [UInt8]] = [:]
  private(set) var image: DiskImage

  private static let errorNoSpace: Int32 = ENOSPC
  /// Names in the large directory: more than one leaf holds.
  private static let manyNames = 600

  /// Fills a new disk of `blockCount` 4 KiB blocks.
  /// - Throws: `SimulationFailure` when a request fails for another reason than lack of space.
  init(pool: BlockPool, memory: SimulatedMemory, blockCount: UInt64, seed: UInt64) throws {
    image = try DiskImage.formatted(pool: pool, blockCount: blockCount, seed: seed)
    let disk = SimulatedDisk(image, seed: seed)
    let harness = Harness(
      service: FileSystem.simulated(memory, disk), disk: disk, memory: memory, seed: seed)
    try harness.mount()
    var random = SeededRandom(seed, stream: 0x66756c6c)
    try fillNames(harness)
    try fillFiles(harness, &random)
    try harness.unmount()
    image = disk.image
  }

  /// A directory of many small files, symbolic links, extended attributes and hard links.
  private mutating func fillNames(_ harness: Harness) throws {
    let directory = try harness.ask(
      Call(.mkdir, node: 1, name: "many").with { $0.mode = FileType.directory | 0o755 }
    ).reply.node
    for index in 0..<Self.manyNames {
      let name = "name-\(index)"
      guard index % 5 != 0 else {
        let target = Array("\(String(repeating: "../", count: index % 40))name-\(index + 1)".utf8)
        _ = try harness.ask(
          Call(.symlink, node: directory, name: name).with { $0.otherName = target })
        continue
      }
      let node = try make("many/\(name)", in: directory, bytes: index * 13 % 5000, file: index, harness)
      guard let node else { return }
      if index % 7 == 0 { try describe(node, bytes: index * 5, harness) }
      if index % 11 == 0 {
        _ = try harness.ask(Call(.link, node: 1, name: "hard-\(index)").with { $0.otherNode = node })
        contents["hard-\(index)"] = contents["many/\(name)"]
      }
    }
  }

  /// Files from a few bytes to several MiB until there is no room left.
  private mutating func fillFiles(_ harness: Harness, _ random: inout SeededRandom) throws {
    for index in Self.manyNames... {
      let size = random.number(1...(1 << random.number(8...22)))
      guard try make("file-\(index)", in: 1, bytes: size, file: index, harness) != nil else { return }
    }
  }

  private func describe(_ node: UInt64, bytes: Int, _ harness: Harness) throws {
    _ = try harness.ask(
      Call(.setxattr, node: node, name: "user.stamp").with {
        $0.otherName = Stamp.bytes(file: 0x7fff, write: node & 0xffff, offset: 0, count: bytes)
      })
  }

  /// Makes a file with contents.
  /// - Returns: its node; nil when there was no room, in which case a part of it may be there.
  private mutating func make(
    _ path: String, in directory: UInt64, bytes: Int, file: Int, _ harness: Harness
  ) throws -> UInt64? {
    let name = String(path.split(separator: "/").last ?? "")
    let made = try harness.call(
      Call(.create, node: directory, name: name).with { $0.mode = FileType.regular | 0o644 })
    guard try hadRoom(made) else { return nil }
    var written = 0
    defer { contents[path] = Stamp.bytes(file: file, write: 0, offset: 0, count: written) }
    while written < bytes {
      let count = min(bytes - written, harness.memory.largestTransfer)
      let answer = try harness.call(
        Call(.write, node: made.reply.node).with {
          $0.handle = made.reply.handle
          $0.offset = UInt64(written)
          $0.payload = Stamp.bytes(file: file, write: 0, offset: UInt64(written), count: count)
        })
      guard try hadRoom(answer) else { return nil }
      written += Int(clamping: answer.reply.count)
    }
    _ = try harness.ask(
      Call(.release, node: made.reply.node).with { $0.handle = made.reply.handle })
    return made.reply.node
  }

  private func hadRoom(_ answer: Answer) throws -> Bool {
    guard answer.error != Self.errorNoSpace else { return false }
    guard answer.error == 0 else { throw SimulationFailure("filling fails with errno \(answer.error)") }
    return true
  }
}
