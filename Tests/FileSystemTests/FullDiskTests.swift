import FileProtocol
import Glibc
import Simulation
import Testing

/// A full disk compared with the model, and then emptied.
@Suite struct FullDiskTests {
  /// Mounts that a seed shapes.
  private struct Mount {
    let seed: UInt64
    let memory: SimulatedMemory
    let scenario: Scenario

    init(seed: UInt64) {
      self.seed = seed
      let shape = Shape(seed: seed)
      memory = SimulatedMemory(frameCount: shape.frameCount, slots: shape.slots)
      scenario = Scenario("full", "") { _ in Script(rounds: 0) { _ in [] } }.with { $0.shape = shape }
    }

    func harness(_ image: DiskImage, _ clock: SimulatedClock = SimulatedClock()) throws -> Harness {
      let disk = SimulatedDisk(image, profile: DiskProfile(seed: seed), seed: seed)
      let service = Mounter.fileSystem().make(memory, disk, scenario)
      let harness = Harness(service: service, disk: disk, memory: memory, seed: seed, clock: clock)
      try harness.mount()
      return harness
    }
  }

  private static func work(_ world: World, clients: Int, fill: UInt64) -> Script {
    Script(rounds: 900 / clients) { context in
      let total = world.nodes.reduce(0) { $0 + ($1.names.isEmpty ? 0 : $1.size) }
      if total < fill, context.random.chance(90) {
        return context.makeFile(length: context.random.number(1...3) * 87_000)
      }
      guard context.random.chance(70), let file = context.file() else { return context.everything() }
      let offset = UInt64(context.random.below(60) * 4096)
      let length = context.random.number(1...20) * 4096
      return [.write(node: file, offset: offset, length: length, sync: context.random.chance(10))]
    }
  }

  /// Removes everything in a directory.
  private static func empty(_ harness: Harness, _ node: UInt64) throws {
    while true {
      let entries = try harness.ask(Call(.readdir, node: node).with { $0.length = 32768 }).reply.entries
      let names = entries.map { String(decoding: $0.name, as: UTF8.self) }.filter { $0 != "." && $0 != ".." }
      if names.isEmpty { return }
      for name in names {
        let found = try harness.ask(Call(.lookup, node: node, name: name)).reply
        if found.attributes.mode & FileType.mask == FileType.directory {
          try empty(harness, found.node)
          _ = try harness.ask(Call(.rmdir, node: node, name: name))
        } else {
          _ = try harness.ask(Call(.unlink, node: node, name: name))
        }
      }
    }
  }

  @Test(
    "blocks of freed files stay dead, and all space comes back", arguments: 1...2 as ClosedRange<UInt64>)
  func filledAndEmptied(seed: UInt64) throws {
    var random = SeededRandom(seed)
    let blockCount = UInt64(random.number(34...48)) * 256 + UInt64(random.below(200))
    let mount = Mount(seed: seed)
    var harness = try mount.harness(
      try DiskImage.formatted(pool: BlockPool(), blockCount: blockCount, seed: seed))
    try harness.idle(60_000_000_000)
    let before = try harness.ask(Call(.statfs, node: 1)).reply.space
    let percent = UInt64(random.pick([80, 93, 97, 105]) ?? 80)
    let clients = random.pick([1, 2, 5]) ?? 1
    let world = World(clients: clients)
    let fill = before.available * 4096 * percent / 100
    let runner = Runner(
      harness: harness, world: world, workload: Self.work(world, clients: clients, fill: fill), seed: seed)
    runner.tolerated = [ENOSPC]
    try runner.run()
    _ = try harness.ask(Call(.statfs, node: 1))
    try harness.unmount()
    #expect(ImageReader.fault(harness.disk.image) == nil)
    harness = try mount.harness(harness.disk.image, harness.clock)
    world.settleAll()
    #expect(world.fault(try Recovered(harness)) == nil)
    try Self.empty(harness, 1)
    for node in harness.lookups.keys.sorted() { try harness.forget(node) }
    try harness.idle(200_000_000_000)
    #expect(try harness.ask(Call(.statfs, node: 1)).reply.space.free + 8 >= before.free)
    try harness.unmount()
    #expect(ImageReader.fault(harness.disk.image) == nil)
  }
}
