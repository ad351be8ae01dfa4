import FileProtocol
import Simulation
import Testing

/// Pages that are replaced while waiting requests have them pinned.
@Suite struct ReplacedPageTests {
  @Test(
    "a page is written again while its log write is under way and another request has it pinned",
    arguments: 1...2 as ClosedRange<UInt64>)
  func writtenAgain(seed: UInt64) throws {
    let mounted = try Mounted(seed: seed)
    let file = try mounted.makeFile("f")
    let size = 10 << 20
    for part in 0..<10 { try mounted.write(file, pattern(1 << 20), at: UInt64(part) << 20) }
    try mounted.sync(file)
    var random = SeededRandom(seed)
    func begin(_ offset: Int, _ length: Int) throws {
      _ = try mounted.harness.begin(
        Call(.write, node: file).with {
          $0.offset = UInt64(offset)
          $0.payload = [UInt8](repeating: 7, count: length)
          $0.flags = LinuxFlag.readWrite
        })
    }
    for _ in 0..<60 {
      let start = random.below(size >> 12 - 32) << 12 + 100
      try begin(start, 120_000)
      try begin(start, 50)
      for _ in 0..<random.below(4) {
        _ = try mounted.harness.event(until: mounted.harness.clock.now.monotonic)
      }
      _ = try mounted.harness.begin(Call(.fsync, node: file))
      for _ in 0..<random.below(3) {
        _ = try mounted.harness.event(until: mounted.harness.clock.now.monotonic)
      }
      try begin(start, 60)
      while mounted.harness.underWay > 0 { try mounted.harness.step() }
    }
    try mounted.remount()
    #expect(try mounted.attributes(mounted.path("f")).size == UInt64(size))
  }
}
