import FileSystem
import Glibc
import Simulation
import Testing

/// What fsync costs, and what crashes leave: a slice of what the `crash` tool does at length.
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

  /// Runs that once broke the promise.
  @Test(arguments: [
    ("failure", 1_771_789_650), ("failure", 2_473_000_594), ("failure", 3_465_299_461),
    ("small", 2_776_189_499),
  ])
  func runsThatOnceFailed(name: String, seed: UInt64) throws {
    let scenario = try #require(Scenario.all.first { $0.name == name })
    #expect(
      Explorer(scenario, mounter: .fileSystem()).explore(seed: seed).violations.map(\.description) == [])
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
