import FileProtocol
import Simulation
import Testing

/// Large writes, which are written to the log from the slot that they arrived in.
@Suite struct BorrowedPageTests {
  private func mounted(seed: UInt64 = 1) throws -> Mounted {
    var options = Options()
    options.borrowedBlocks = 2
    return try Mounted(seed: seed, options: options)
  }

  @Test("a slot is kept until its payload is in the log, and at most half of the slots are")
  func slotsComeBack() throws {
    let mounted = try mounted()
    let file = try mounted.makeFile("f")
    try mounted.write(file, pattern(65_536))
    #expect(mounted.harness.keptSlots == 1)
    for index in 1...9 as ClosedRange<UInt64> { try mounted.write(file, pattern(65_536), at: index << 16) }
    #expect((1...4).contains(mounted.harness.keptSlots))
    try mounted.settle()
    #expect(mounted.harness.keptSlots == 0)
    for index in 0...9 as ClosedRange<UInt64> {
      #expect(try mounted.read(file, at: index << 16, count: 65_536) == pattern(65_536))
    }
  }

  @Test(
    "reading, overwriting, truncating and syncing pages that are lent",
    arguments: 1...8 as ClosedRange<UInt64>)
  func onTheWay(seed: UInt64) throws {
    let mounted = try mounted(seed: seed)
    let file = try mounted.makeFile("f")
    var random = SeededRandom(seed)
    var model: [UInt8] = []
    for round in 0..<300 as Range<UInt64> {
      let offset = random.below(40) * 4096
      switch random.below(10) {
      case 0...4:
        let data = pattern(4096 * random.number(1...16), seed: round)
        try mounted.write(file, data, at: UInt64(offset))
        Self.put(data, at: offset, into: &model)
      case 5:
        let data = pattern(random.number(1...6000), seed: round)
        try mounted.write(file, data, at: UInt64(offset + 100))
        Self.put(data, at: offset + 100, into: &model)
      case 6:
        let size = random.below(40) * 4096 + (random.chance(50) ? 0 : 77)
        var change = AttributeChange()
        change.size = UInt64(size)
        try mounted.change(file, change)
        model = Array(model.prefix(size)) + Array(repeating: 0, count: max(0, size - model.count))
      case 7: try mounted.sync(file)
      default: break
      }
      for _ in 0..<random.below(4) {
        _ = try mounted.harness.event(until: mounted.harness.clock.now.monotonic)
      }
      if random.chance(20) { #expect(try mounted.read(file, count: 400_000) == model) }
    }
    try mounted.remount()
    #expect(try mounted.read(try mounted.path("f"), count: 400_000) == model)
  }

  private static func put(_ data: [UInt8], at offset: Int, into model: inout [UInt8]) {
    if model.count < offset + data.count {
      model += Array(repeating: 0, count: offset + data.count - model.count)
    }
    model.replaceSubrange(offset..<offset + data.count, with: data)
  }

  @Test("a failed log write is repeated from the slot")
  func failingLogWrite() throws {
    let mounted = try mounted()
    let file = try mounted.makeFile("f")
    try mounted.settle()
    mounted.harness.disk.faults = [DiskFault(.write, count: 1)]
    try mounted.write(file, pattern(65_536))
    #expect(try mounted.sync(file) == 0)
    #expect(try mounted.read(file, count: 65_536) == pattern(65_536))
    try mounted.crash()
    #expect(try mounted.read(try mounted.path("f"), count: 65_536) == pattern(65_536))
  }

  @Test("after an error has ended writing, slots come free and their pages can still be read")
  func nothingCanBeWritten() throws {
    let mounted = try mounted()
    let file = try mounted.makeFile("f")
    try mounted.settle()
    mounted.harness.disk.faults = [DiskFault(.write, count: .max)]
    try mounted.write(file, pattern(65_536))
    #expect(try mounted.sync(file) != 0)
    try mounted.settle()
    #expect(mounted.harness.keptSlots == 0)
    #expect(try mounted.read(file, count: 65_536) == pattern(65_536))
  }
}
