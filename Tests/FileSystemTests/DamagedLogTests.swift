import FileProtocol
import FileSystem
import Format
import Testing

@testable import Simulation

/// Damage to a log that is to be replayed: never taken for the log's end where a later log write shows otherwise.
@Suite struct DamagedLogTests {
  /// With every header of a long log damaged in turn, the mount is refused whenever a later header that
  /// is left records the damaged log write as flushed, wherever in the chain that header lies.
  /// - Parameter unit: the blocks of the largest write: some fill a segment of 128 blocks but for a few.
  @Test(arguments: [30, 127, 250] as [Int]) func damagedHeaders(unit: Int) throws {
    var options = Options()
    options.checkpointBlocks = 1 << 20
    options.commitInterval = 1 << 60
    let mounted = try Mounted(frames: 4096, options: options)
    let file = try mounted.makeFile("f")
    var random = SeededRandom(UInt64(unit))
    for step in 0..<(unit < 100 ? 30 : 10) as Range<UInt64> {
      let blocks = 1 + Int(random.next() % UInt64(unit))
      try #require(try mounted.write(file, pattern(4096 * blocks, seed: step)) == 0)
      // Data is written without being flushed too, so that the header that records a log write as flushed comes
      // later than the next.
      if random.next() % 3 > 0 { try mounted.sync(file) }
    }
    try mounted.sync(file)
    let image = mounted.harness.disk.crashImage(.none)
    let sealed = try SealedImage(image)
    let chain = sealed.headers.compactMap { sealed.header(at: $0) }
    try #require(Set(chain.map { sealed.geometry.segment(of: $0.address) }).count > 2)
    var damaged = 0
    for header in chain {
      let sequence = header.sequence
      let isWitnessed = chain.contains { $0.sequence > sequence && $0.flushedThrough >= sequence }
      guard isWitnessed else { continue }
      var broken = image
      broken.unreadable.insert(header.address)
      #expect(throws: SimulationFailure.self, "log write \(sequence)") { try mounted.mountAgain(broken, nil) }
      damaged += 1
    }
    #expect(damaged > 4)
    try mounted.mountAgain(image, nil)
    try mounted.expectClean()
  }
}
