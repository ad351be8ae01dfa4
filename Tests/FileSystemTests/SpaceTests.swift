import Format
import Glibc
import Simulation
import Testing

import FileProtocol
@testable import FileSystem

/// A disk that fills up.
@Suite struct SpaceTests {
  /// Fills the disk with files of `size` bytes; returns how many were made.
  private static func fill(_ mounted: Mounted, size: Int, prefix: String) throws -> Int {
    var made = 0
    while true {
      let name = "\(prefix)\(made)"
      let answer = try mounted.call(
        Call(.mknod, node: 1, name: name).with { $0.mode = FileType.regular | 0o644 })
      guard answer.error == 0 else {
        #expect(answer.error == ENOSPC, "\(mounted.fileSystem?.notices ?? [])")
        return made
      }
      made += 1
      let error = try mounted.write(answer.reply.node, pattern(size, seed: UInt64(made)))
      guard error == 0 else {
        #expect(error == ENOSPC, "\(mounted.fileSystem?.notices ?? [])")
        return made
      }
      try #require(made < 100_000)
    }
  }

  @Test(arguments: [200_000, 20_000])
  func filledAndEmptiedAgainAndAgain(size: Int) throws {
    let mounted = try Mounted(megabytes: 40)
    try mounted.settle()
    let before = try mounted.space
    for round in 0..<4 {
      let made = try Self.fill(mounted, size: size, prefix: "r\(round)-")
      let full = try mounted.space
      #expect(full.available * 4096 < UInt64(size) + 65536, "ENOSPC with \(full.available) blocks available")
      // Most of the disk could be written.
      #expect(made * size > Int(before.available) * 4096 * 8 / 10)
      for index in stride(from: 0, to: made - 1, by: 7) {
        let node = try mounted.path("r\(round)-\(index)")
        #expect(try mounted.read(node, count: size) == pattern(size, seed: UInt64(index + 1)))
      }
      for index in 0..<made {
        #expect(try mounted.unlink("r\(round)-\(index)") == 0, "deleting works on a full disk")
      }
      for node in mounted.harness.lookups.keys.sorted() { try mounted.harness.forget(node) }
      try mounted.settle()
      let after = try mounted.space
      #expect(after.available + before.available / 100 >= before.available)
    }
    try mounted.remount()
    #expect(try mounted.space.available + before.available / 100 >= before.available)
  }

  @Test("the last blocks are reserved for root", arguments: [5, 50]) func reserve(percent: Int) throws {
    var options = Options()
    options.rootPercent = percent
    let mounted = try Mounted(megabytes: 40, options: options)
    try mounted.settle()
    let before = try mounted.space
    let kept = before.blocks * UInt64(percent) / 100
    let file = try mounted.makeFile("user")
    let piece = pattern(512 << 10, seed: 1)
    var end: UInt64 = 0
    while try mounted.write(file, piece, at: end, uid: 1000) == 0 { end += UInt64(piece.count) }
    try mounted.settle()
    let full = try mounted.space
    // All available blocks could be written, and not the reserved ones.
    #expect(end + UInt64(piece.count) > before.available * 4096)
    #expect(full.available < UInt64(piece.count) / 4096 + 32)
    #expect(full.free >= kept)
    #expect(try mounted.write(file, piece, at: end, uid: 1000) == ENOSPC)
    var names = 0
    while try mounted.call(
      Call(.mknod, node: 1, name: "more\(names)").with {
        $0.mode = FileType.regular | 0o644
        $0.uid = 1000
      }
    ).error == 0 { names += 1 }
    #expect(names < 100)
    // Operations that take no blocks are not refused: overwriting, growing within the last block, and
    // removing.
    #expect(try mounted.write(file, piece, at: 0, uid: 1000) == 0)
    // Root goes on.
    let others = try mounted.makeFile("root")
    var written: UInt64 = 0
    while try mounted.write(others, piece, at: written) == 0 { written += UInt64(piece.count) }
    #expect(written + 2 * UInt64(piece.count) > kept * 4096 / 10 * 9)
    #expect(written < (kept + 64) * 4096)
    #expect(try mounted.unlink("user") == 0)
  }

  @Test("a request waits for segments that are being discarded", arguments: [1, 2] as [UInt64])
  func writtenWhileDiscarding(seed: UInt64) throws {
    let mounted = try Mounted(megabytes: 40, seed: seed) { $0.canDiscard = true }
    let made = try Self.fill(mounted, size: 100_000, prefix: "f")
    for index in 0...made where try mounted.find("f\(index)") != nil { try mounted.unlink("f\(index)") }
    for node in mounted.harness.lookups.keys.sorted() { try mounted.harness.forget(node) }
    try mounted.remount()
    #expect(try Self.fill(mounted, size: 100_000, prefix: "g") >= made - 1)
  }

  /// Fills the disk: data until it is full, then names.
  private static func fillToTheLast(_ mounted: Mounted, _ file: UInt64) throws -> UInt64 {
    var blocks: UInt64 = 0
    for step in [64, 1] as [UInt64] {
      while try mounted.write(file, pattern(Int(step) * 4096), at: blocks * 4096) == 0 { blocks += step }
    }
    var made = 0
    while try mounted.call(
      Call(.mknod, node: 1, name: "empty\(made)").with { $0.mode = FileType.regular | 0o644 }
    ).error == 0 { made += 1 }
    return blocks
  }

  @Test func whatTakesNoBlockIsNotRefusedOnAFullDisk() throws {
    let mounted = try Mounted(megabytes: 40)
    let promised = try mounted.makeFile("promised")
    #expect(try mounted.allocate(promised, 0, 0, 1 << 20) == 0)
    let file = try mounted.makeFile("f")
    let blocks = try Self.fillToTheLast(mounted, file)
    #expect(try mounted.space.available == 0)
    for block in 0..<256 as Range<UInt64> {
      #expect(try mounted.write(promised, pattern(4096), at: block * 4096) == 0, "promised block \(block)")
    }
    var random = SeededRandom(3)
    for _ in 0..<3000 {
      let block = random.next() % blocks
      #expect(try mounted.write(file, pattern(4096, seed: block), at: block * 4096) == 0, "block \(block)")
    }
    #expect(try mounted.sync(file) == 0)
  }

  @Test func whatStatfsCallsAvailableCanBeWritten() throws {
    let mounted = try Mounted(megabytes: 40)
    let file = try mounted.makeFile("f")
    let available = try mounted.space.available
    for block in 0..<available {
      try #require(
        try mounted.write(file, pattern(4096), at: block * 4096) == 0, "block \(block) of \(available)")
    }
  }

  /// Removing names must not wait for space that only the removing frees.
  @Test func everythingCanBeRemovedFromADiskFullOfNames() throws {
    let mounted = try Mounted(megabytes: 35)
    let name = String(repeating: "n", count: 230)
    var made = 0
    while true {
      let call = Call(.mknod, node: 1, name: "\(name)\(made)").with { $0.mode = FileType.regular | 0o600 }
      let error = try mounted.call(call).error
      if error != 0 {
        #expect(error == ENOSPC)
        break
      }
      made += 1
    }
    try mounted.crash()
    for index in 0..<made where try mounted.find("\(name)\(index)") != nil {
      #expect(try mounted.unlink("\(name)\(index)") == 0)
    }
    try mounted.remount()
    #expect(try mounted.list().isEmpty)
  }

  @Test func aDiskWithoutAFreeSegmentIsRefusedUntilEmptyOnesMayBeUsed() throws {
    let mounted = try Mounted(megabytes: 40)
    try mounted.write(try mounted.makeFile("f"), pattern(100_000))
    try mounted.settle()
    let segments = try #require(mounted.fileSystem).segments
    while let segment = segments.take(for: 1) { segments.close(segment) }
    try mounted.harness.unmount()
    let image = mounted.harness.disk.image
    #expect(throws: SimulationFailure.self) { try mounted.mountAgain(image, nil) }
    #expect(mounted.fileSystem?.lacksSegments == true)
    var options = Options()
    options.reusesEmptySegments = true
    try mounted.mountAgain(image, options)
    #expect(try mounted.read(try mounted.path("f"), count: 200_000) == pattern(100_000))
    try mounted.remount(Options())
    #expect(try mounted.read(try mounted.path("f"), count: 200_000) == pattern(100_000))
  }

  @Test func overwritesNeverFailOnAFullDisk() throws {
    let mounted = try Mounted(megabytes: 40)
    let made = try Self.fill(mounted, size: 100_000, prefix: "f")
    var random = SeededRandom(5)
    var latest: [Int: [UInt8]] = [:]
    for round in 0..<1500 {
      let index = random.below(made - 1)
      let node = try mounted.path("f\(index)")
      var bytes = latest[index] ?? pattern(100_000, seed: UInt64(index + 1))
      let block = random.below(23) * 4096
      let new = pattern(8192, seed: UInt64(round) + 1000)
      #expect(try mounted.write(node, new, at: UInt64(block)) == 0)
      if random.chance(10) { #expect(try mounted.sync(node) == 0) }
      bytes.replaceSubrange(block..<block + 8192, with: new)
      latest[index] = bytes
    }
    try mounted.remount()
    for (index, bytes) in latest.sorted(by: { $0.key < $1.key }) {
      #expect(try mounted.read(try mounted.path("f\(index)"), count: 200_000) == bytes, "f\(index)")
    }
  }

  /// The cleaner asks the table whether a node that it meets is alive.
  @Test("a freed inode is not found any more, though its entry in the table is cleared later")
  func numbersGivenUp() throws {
    let mounted = try Mounted()
    let fileSystem = try #require(mounted.fileSystem)
    let nodes = fileSystem.nodes
    let file = try mounted.makeFile("f")
    try mounted.settle()
    let number = NodeID(raw: file).number
    #expect(try nodes.tableEntry(nodes.inodes, number).address != 0)
    try mounted.unlink("f")
    try mounted.harness.forget(file)
    while !nodes.inodes.isGivenUp(number) { try #require(fileSystem.freeing.step()) }
    #expect(try nodes.tableEntry(nodes.inodes, number).address == 0)
    try mounted.settle()
    #expect(!nodes.inodes.isGivenUp(number))
    try mounted.expectClean()
  }

  @Test(
    "deleted space can be written again at once, on a fragmented disk",
    arguments: [1] as [UInt64])
  func writtenAnewAtOnce(seed: UInt64) throws {
    let mounted = try Mounted(megabytes: 40, seed: seed)
    let made = try Self.fill(mounted, size: 100_000, prefix: "f")
    var random = SeededRandom(seed)
    for _ in 0..<600 {
      let node = try mounted.path("f\(random.below(made - 1))")
      #expect(try mounted.write(node, pattern(4096), at: UInt64(random.below(24) * 4096)) == 0)
    }
    for round in 0..<6 {
      for index in stride(from: round, to: made, by: 8) {
        let node = try mounted.path("f\(index)")
        try mounted.unlink("f\(index)")
        try mounted.harness.forget(node)
      }
      for index in stride(from: round, to: made - 8, by: 8) {
        let file = try mounted.makeFile("r\(round)-\(index)")
        let space = try mounted.space
        #expect(
          try mounted.write(file, pattern(90_000)) == 0,
          "round \(round) file \(index): \(space.available) blocks are available")
      }
    }
  }

  @Test(arguments: [0, LinuxFlag.keepSize, LinuxFlag.zeroRange])
  func whatCannotFitIsNotAllocatedInPart(mode: UInt32) throws {
    let mounted = try Mounted(megabytes: 40)
    let file = try mounted.makeFile("f")
    try mounted.write(file, pattern(50_000))
    let space = try mounted.space
    let before = try mounted.attributes(file)
    #expect(try mounted.allocate(file, mode, 0, (space.available + 64) * 4096) == ENOSPC)
    #expect(try mounted.space.available == space.available)
    #expect(try mounted.attributes(file).size == before.size)
    #expect(try mounted.attributes(file).modificationTime == before.modificationTime)
    #expect(try mounted.read(file, count: 60_000) == pattern(50_000))
    #expect(try mounted.allocate(file, mode, 0, (space.available - 32) * 4096) == 0)
  }

  @Test(
    "an fallocate that fails half-way leaves the size unchanged, and its blocks can be freed",
    arguments: [0, LinuxFlag.zeroRange])
  func failsHalfWay(mode: UInt32) throws {
    let mounted = try Mounted(megabytes: 40)
    let file = try mounted.makeFile("f")
    let size = 2_000_123
    try mounted.write(file, pattern(size))
    let other = try mounted.makeFile("other")
    let room = try mounted.space.available
    #expect(try mounted.allocate(other, 0, 0, (room - 400) * 4096) == 0)
    try mounted.settle()
    let before = try mounted.space.available
    try #require(before > 300 && before < 450)
    #expect(try mounted.allocate(file, mode, UInt64(size), 500 * 4096) == ENOSPC)
    #expect(try mounted.attributes(file).size == UInt64(size))
    try mounted.remount()
    let found = try mounted.path("f")
    #expect(try mounted.attributes(found).size == UInt64(size))
    #expect(try mounted.read(found, count: size + 1) == pattern(size))
    #expect(try mounted.space.available < before - 100)
    try mounted.change(found, .size(UInt64(size)))
    try mounted.settle()
    #expect(try mounted.space.available + 8 >= before)
  }

  /// With a map in the inode, of one level and of two; the reserved range begins in the last block's map node
  /// or after it.
  @Test(arguments: [5000, 300_000, 1_048_576, 1_048_577, 3_000_000], [0, 1 << 20, 80 << 20] as [UInt64])
  func aCutToTheSameSizeFreesWhatLiesBehind(size: Int, distance: UInt64) throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    try mounted.write(file, pattern(size))
    try mounted.sync(file)
    let sectors = try mounted.attributes(file).sectors
    let start = UInt64(size + 4095) / 4096 * 4096 + distance
    #expect(try mounted.allocate(file, LinuxFlag.keepSize, start, 40 * 4096) == 0)
    #expect(try mounted.attributes(file).sectors == sectors + 40 * 8)
    for _ in 0..<2 {
      #expect(try mounted.change(file, .size(UInt64(size))) == 0)
      try mounted.settle()
      #expect(try mounted.attributes(file).sectors == sectors)
    }
    #expect(try mounted.read(file, count: size + 1) == pattern(size))
    try mounted.remount()
    #expect(ImageReader.fault(mounted.harness.disk.image) == nil)
    #expect(try mounted.read(try mounted.path("f"), count: size + 1) == pattern(size))
  }

  @Test func statfsCountsWhatIsThere() throws {
    let mounted = try Mounted(megabytes: 64)
    let empty = try mounted.space
    #expect(empty.blocks <= 16384 && empty.blocks > 12000)
    let file = try mounted.makeFile("f")
    try mounted.write(file, pattern(4 << 20))
    let during = try mounted.space
    #expect(empty.available - during.available >= 1024)
    #expect(empty.available - during.available < 1100)
    try mounted.sync(file)
    #expect(try mounted.attributes(file).sectors == 8192)
  }
}
