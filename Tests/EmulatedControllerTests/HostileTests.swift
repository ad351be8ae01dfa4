import EmulatedController
import NVMeSpec
import TestSupport
import Testing

@Suite("Hostile hosts")
struct HostileTests {
  @Test("random commands, doorbells and registers never trap", arguments: 0..<30)
  func noise(seed: Int) throws {
    var random = SplitMix(seed: UInt64(seed))
    let host = try TestHost.memory(bytes: 1 << 20, blockSize: seed.isMultiple(of: 2) ? 512 : 4096) {
      $0.records = seed.isMultiple(of: 3)
      $0.latency = seed.isMultiple(of: 5) ? 1000 : 0
      $0.maximumTransfer = seed.isMultiple(of: 7) ? 0 : 5
    }
    let queue = host.makeQueue()
    for step in 0..<400 {
      switch Int.random(in: 0..<10, using: &random) {
      case 0: host.window.store32(noisy(&random), at: 4 * Int.random(in: 0..<0x900, using: &random))
      case 1: host.window.store64(random.next(), at: 4 * Int.random(in: 0..<0x500, using: &random))
      case 2: _ = host.window.load64(at: Int.random(in: -8..<0x3000, using: &random))
      case 3: _ = host.controller.service(now: UInt64(step) * 10_000)
      default:
        let target = Bool.random(using: &random) ? queue : host.admin
        host.place(noisyEntry(&random, host), target)
        host.ring(target)
        while host.poll(target) != nil {}
      }
      if !host.status.ready {
        host.disable()
        try host.controller.reset()
      }
    }
    if !host.status.ready { host.disable() }
    #expect(host.controller.statistics.errors >= 0)
  }

  /// A small number half of the time, otherwise any number.
  private func noisy(_ random: inout SplitMix) -> UInt32 {
    Bool.random(using: &random)
      ? UInt32.random(in: 0..<70, using: &random) : UInt32(truncatingIfNeeded: random.next())
  }

  /// A nearly valid entry.
  private func noisyEntry(_ random: inout SplitMix, _ host: TestHost) -> SubmissionEntry {
    var entry = SubmissionEntry()
    let opcodes: [UInt8] = [0, 1, 2, 4, 5, 6, 8, 9, 0x0a, 0x0c, 0x80]
    entry.opcode =
      Int.random(in: 0..<8, using: &random) == 0
      ? UInt8.random(in: .min ... .max, using: &random) : opcodes.randomElement(using: &random) ?? 0
    entry.namespace = [0, 1, 1, 1, 2, .max].randomElement(using: &random) ?? 1
    if Int.random(in: 0..<4, using: &random) == 0 {
      entry.dataPointer = DataPointerKind(rawValue: UInt8.random(in: 0...3, using: &random))
    }
    entry.commandIdentifier = UInt16.random(in: 0...3, using: &random)
    entry.prp1 = address(&random, host)
    entry.prp2 = address(&random, host)
    entry.cdw10 = noisy(&random)
    entry.cdw11 = Bool.random(using: &random) ? 0 : noisy(&random)
    entry.cdw12 = noisy(&random)
    entry.cdw13 = Bool.random(using: &random) ? 0 : noisy(&random)
    return entry
  }

  private func address(_ random: inout SplitMix, _ host: TestHost) -> UInt64 {
    switch Int.random(in: 0..<4, using: &random) {
    case 0: random.next()
    case 1: host.arena.address(UInt32.random(in: 0..<1100, using: &random)) + random.next() % 64
    default: host.arena.address(UInt32.random(in: 8..<1024, using: &random))
    }
  }
}
