import Format
import Glibc
import Simulation
import Testing

import FileProtocol
@testable import FileSystem

/// The writes and flushes of fsync, and the state after crashes: a few of the runs that the `crash` tool
/// makes.
@Suite struct DurabilityTests {
  @Test(arguments: Scenario.all.map(\.name))
  func aFewCrashes(name: String) throws {
    let scenario = try #require(Scenario.all.first { $0.name == name })
    var settings = Explorer.Settings()
    settings.statesPerRun = scenario.crashesRecovery ? 16 : 48
    settings.statesPerPoint = 4
    let explorer = Explorer(scenario, mounter: .fileSystem(), settings: settings)
    for seed in 1...2 as ClosedRange<UInt64> {
      #expect(explorer.explore(seed: seed).violations.map(\.description) == [])
    }
  }

  /// Whether a checkpoint is under way whose cut has been made.
  private func hasCut(_ fileSystem: FileSystem) -> Bool {
    ![.idle, .preparing].contains(fileSystem.checkpoint.phase)
  }

  /// On a disk without a volatile cache, a synced write that follows a failed one is durable with the
  /// checkpoint that replaces the failed one, although it ends before that checkpoint.
  @Test func aSyncedWriteDuringTheCheckpointThatMendsTheLog() throws {
    let mounted = try Mounted {
      $0.hasVolatileCache = false
      $0.order = .submission
    }
    let fileSystem = try #require(mounted.fileSystem)
    let file = try mounted.makeFile("f")
    try mounted.write(file, pattern(8192, seed: 1))
    var errors: [Int32] = []
    mounted.harness.answered = { _, answer in errors.append(answer.error) }
    mounted.harness.disk.faults = [DiskFault(.write)]
    _ = try mounted.harness.begin(Call(.fsync, node: file))
    // Mending takes two checkpoints; the first makes the log's new chain part of the filesystem.
    let durable = fileSystem.checkpoint.durable
    while fileSystem.checkpoint.durable == durable || !hasCut(fileSystem) { try mounted.harness.step() }
    let before = fileSystem.log.completedThrough
    _ = try mounted.harness.begin(
      Call(.write, node: file).with {
        $0.payload = pattern(4096, seed: 2)
        $0.flags = LinuxFlag.readWrite | LinuxFlag.sync
      })
    while fileSystem.checkpoint.phase != .idle { try mounted.harness.step() }
    #expect(fileSystem.log.completedThrough > before)
    while mounted.harness.underWay > 0 { try mounted.harness.step() }
    #expect(errors == [0, 0])
    try mounted.crash()
    let found = try mounted.read(try mounted.path("f"), count: 8192)
    #expect(found == pattern(4096, seed: 2) + pattern(8192, seed: 1)[4096...])
  }

  /// A log write that was at the device at a checkpoint's cut fails after it: the checkpoint refers to blocks
  /// that were not written, and is abandoned.
  @Test func aLogWriteThatFailsAfterTheCut() throws {
    let mounted = try Mounted()
    let fileSystem = try #require(mounted.fileSystem)
    let file = try mounted.makeFile("f")
    try mounted.write(file, pattern(65536, seed: 1))
    try mounted.settle()
    try mounted.write(file, pattern(65536, seed: 2))
    mounted.harness.disk.faults = [DiskFault(.write)]
    // No command ends before the cut.
    fileSystem.waiting.askForCheckpoint()
    while !hasCut(fileSystem) { _ = fileSystem.advance() }
    #expect(fileSystem.log.completedThrough < fileSystem.log.lastSequence)
    let durable = fileSystem.checkpoint.durable
    while fileSystem.checkpoint.durable == durable { try mounted.harness.step() }
    try mounted.crash()
    let found = try mounted.read(try mounted.path("f"), count: 65536)
    #expect(found == pattern(65536, seed: 2))
  }

  /// After all writing has ended, the checkpoint of what was changed last is never due.
  @Test func aFilesystemThatCannotBeWrittenIsIdle() throws {
    let mounted = try Mounted { $0.order = .submission }
    let fileSystem = try #require(mounted.fileSystem)
    let file = try mounted.makeFile("f")
    mounted.harness.disk.faults = [DiskFault(.write, count: .max)]
    _ = try mounted.harness.begin(Call(.fsync, node: file))
    // The checkpoint that is to mend the log fails; what follows its cut waits for another.
    while !hasCut(fileSystem) { try mounted.harness.step() }
    _ = try mounted.harness.begin(Call(.setattr, node: file).with { $0.change.mode = 0o600 })
    while !fileSystem.state.isReadOnly { try mounted.harness.step() }
    #expect(fileSystem.nodes.oldestChange > 0)
    let events = mounted.harness.events
    try mounted.harness.idle(3_600_000_000_000)
    #expect(mounted.harness.events - events < 10)
  }

  /// A checkpoint fails while it writes nodes. Nothing more is written, but all that the log holds can be
  /// read, from memory where the cache has evicted the nodes.
  @Test func nodesThatAFailedCheckpointCouldNotWriteAreRead() throws {
    let mounted = try Mounted()
    // More inodes than there is memory for.
    for index in 0..<2100 {
      try mounted.call(
        Call(.mknod, node: 1, name: "old-\(index)").with { $0.mode = FileType.regular | 0o644 })
    }
    try mounted.settle()
    for index in 0..<20 { try mounted.write(try mounted.makeFile("new-\(index)"), pattern(100)) }
    try mounted.sync(1)
    mounted.harness.disk.faults = [DiskFault(.write, count: .max)]
    try mounted.settle()
    #expect(mounted.fileSystem?.state.isReadOnly == true)
    for index in 0..<2100 { #expect(try mounted.find("old-\(index)") != nil) }
    for index in 0..<20 {
      #expect(try mounted.read(try mounted.path("new-\(index)"), count: 200) == pattern(100))
    }
  }

  /// A device that reads nothing for a while loses nothing: what it does not read in a mount is not taken for
  /// a lost checkpoint or for the end of the log.
  @Test(arguments: [(1, 0...0), (4, 0...24), (40, 0...24), (1000, 20...24)] as [(Int, ClosedRange<Int>)])
  func readsThatFailForAWhile(count: Int, expectedRefusals: ClosedRange<Int>) throws {
    var refusals = 0
    for skip in stride(from: 0, to: 48, by: 2) {
      let mounted = try Mounted()
      let file = try mounted.makeFile("f")
      for index in 0..<8 {
        try mounted.write(file, pattern(4096, seed: UInt64(index)), at: UInt64(index) * 4096)
        try mounted.sync(file)
      }
      do {
        try mounted.crash([DiskFault(.read, skip: skip, count: count)])
      } catch is SimulationFailure {
        refusals += 1
        try mounted.crash()
      }
      mounted.harness.disk.faults = []
      for index in 0..<8 {
        let data = try mounted.read(try mounted.path("f"), at: UInt64(index) * 4096, count: 4096)
        #expect(data == pattern(4096, seed: UInt64(index)), "block \(index), read \(skip)")
      }
    }
    #expect(expectedRefusals.contains(refusals))
  }

  /// A checkpoint that is made when a segment of the log is exactly full leads into the next one, which is
  /// not adjacent.
  @Test func checkpointsAtTheEndsOfSegments() throws {
    var options = Options()
    options.checkpointBlocks = 1
    let mounted = try Mounted(options: options)
    let other = try Mounted(options: options)
    try leaveHoles(in: mounted)
    let files = try ["f", "g"].map { try mounted.makeFile($0) }
    let geometry = try Geometry.fitting(blockCount: 64 * 256)
    var fullSegments = 0
    for step in 0..<200 as Range<UInt64> {
      for (index, file) in files.enumerated() {
        let log = try #require(mounted.fileSystem).log
        let left = Int(geometry.segmentBlocks) - Int(log.position.offset)
        // A header and these blocks fill the segment.
        let fills = index == 0 && (2...17).contains(left)
        try mounted.write(file, pattern(4096 * (fills ? left - 1 : 2), seed: step), at: step * 65536)
        try mounted.sync(file)
        // The checkpoint is made before the next write.
        if index == 0 { try mounted.harness.idle(100_000_000) }
        if fills { fullSegments += 1 }
      }
      try other.mountAgain(mounted.harness.disk.crashImage(.none), nil)
      for name in ["f", "g"] {
        let found = try other.read(try other.path(name), at: step * 65536, count: 4096)
        #expect(found == pattern(4096, seed: step), "\(name) in step \(step)")
      }
    }
    #expect(fullSegments > 3)
  }

  /// Fills a filesystem with data and removes a part of it in each 4 MiB, so that free segments are not
  /// adjacent.
  private func leaveHoles(in mounted: Mounted) throws {
    let file = try mounted.makeFile("filler")
    let mebibyte: UInt64 = 1 << 20
    for step in 0..<36 as Range<UInt64> {
      try #require(try mounted.write(file, pattern(Int(mebibyte), seed: step), at: step * mebibyte) == 0)
      try mounted.sync(file)
    }
    for step in stride(from: 0, to: 36, by: 4) as StrideTo<UInt64> {
      let hole = LinuxFlag.punchHole | LinuxFlag.keepSize
      try #require(try mounted.allocate(file, hole, step * mebibyte, mebibyte) == 0)
    }
  }

  /// The checkpoint before the newest leads into the same log, even after a mount or a failed log write
  /// between them.
  @Test(arguments: [nil, 1, 2, 3] as [Int?])
  func losingACheckpointLosesNothing(failingWrite: Int?) throws {
    let mounted = try Mounted()
    let segments = try Geometry.fitting(blockCount: 64 * 256).segmentBlock(0)..<UInt64.max
    let file = try mounted.makeFile("f")
    var written = 0
    func write(_ count: Int) throws {
      for index in written..<written + count {
        try mounted.write(file, pattern(4096, seed: UInt64(index)), at: UInt64(index) * 4096)
        #expect(try mounted.sync(file) == 0)
      }
      written += count
    }
    if let failingWrite {
      try write(3)
      mounted.harness.disk.faults = [DiskFault(.write, blocks: segments, skip: failingWrite - 1)]
    }
    try write(3)
    try mounted.crashWithoutNewestCheckpoint()
    let found = try mounted.find("f")
    #expect(found != nil)
    for index in 0..<written {
      guard let found else { break }
      let data = try mounted.read(found, at: UInt64(index) * 4096, count: 4096)
      #expect(data == pattern(4096, seed: UInt64(index)), "block \(index)")
    }
  }

  /// An urgent page was removed by a truncation, and another page of the same block is not urgent: it is
  /// written in order.
  @Test func aPageCutOffIsNotUrgentAnyMore() throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    let old = pattern(8000, seed: 1)
    try mounted.write(file, old)
    try mounted.sync(file)
    for size in [4097, 789_420, 3841] as [UInt64] { #expect(try mounted.change(file, .size(size)) == 0) }
    let new = pattern(2728, seed: 2)
    try mounted.write(file, new, at: 4664)
    _ = try mounted.makeFile("other")
    try mounted.sync(1)
    try mounted.crash()
    let found = try mounted.read(try mounted.path("f"), count: 10_000)
    let short = Array(old.prefix(3841))
    let isWhole = found == short || found == short + [UInt8](repeating: 0, count: 4664 - 3841) + new
    #expect(isWhole, "\(found.count) bytes")
  }

  /// The checkpoint does not wait for an urgent page that was cut off before it was written.
  @Test func anUrgentPageThatIsCutOffIsNotWaitedFor() throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    try mounted.write(file, pattern(100))
    try mounted.settle()
    // The bytes leave the inode for an urgent page.
    try mounted.write(file, pattern(5000), at: 4096)
    #expect(mounted.fileSystem?.uncommitted.urgentPages.count == 1)
    #expect(try mounted.change(file, .size(0)) == 0)
    try mounted.expectClean()
  }

  @Test func anFsyncIsOneWrite() throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    try mounted.write(file, pattern(100_000))
    try mounted.settle()
    for round in 0..<20 {
      try mounted.write(file, pattern(4096, seed: UInt64(round)), at: 8192)
      let before = mounted.harness.disk.statistics
      try mounted.sync(file)
      let after = mounted.harness.disk.statistics
      #expect(after.writes - before.writes == 1)
      #expect(after.flushes - before.flushes <= 1)
      #expect(after.blocksWritten - before.blocksWritten == 2)
    }
  }

  @Test func nothingToSyncWritesNothing() throws {
    let mounted = try Mounted()
    try mounted.sync(1)
    let file = try mounted.makeFile("f")
    try mounted.sync(file)
    let before = mounted.harness.disk.statistics
    for _ in 0..<5 { try mounted.sync(file) }
    #expect(mounted.harness.disk.statistics.writes == before.writes)
  }

  @Test func theBackgroundCommitComesInTime() throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    try mounted.write(file, pattern(50_000))
    try mounted.harness.idle(6_000_000_000)
    try mounted.crash()
    #expect(try mounted.read(try mounted.path("f"), count: 60_000) == pattern(50_000))
  }

  @Test func anIdleFilesystemDoesNothing() throws {
    let mounted = try Mounted()
    _ = try mounted.makeFile("f")
    try mounted.settle()
    try mounted.settle()
    let events = mounted.harness.events
    let before = mounted.harness.disk.statistics
    try mounted.harness.idle(3_600_000_000_000)
    #expect(mounted.harness.events - events < 10)
    #expect(mounted.harness.disk.statistics == before)
  }
}
