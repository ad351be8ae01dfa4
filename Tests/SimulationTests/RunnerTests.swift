import FileProtocol
import MemoryService
import Simulation
import Testing

/// The model, the runner and the harness, with a filesystem that exists only in memory.
@Suite struct RunnerTests {
  static func run(_ workload: any Workload, clients: Int = 1, seed: UInt64) throws -> Runner {
    let image = DiskImage(pool: BlockPool(), blockCount: 64)
    let disk = SimulatedDisk(image, seed: seed)
    let memory = SimulatedMemory(frameCount: 1)
    let service = MemoryService(slots: memory.slots, arena: memory.base)
    let harness = Harness(service: service, disk: disk, memory: memory, seed: seed)
    let runner = Runner(
      harness: harness, world: World(clients: clients), workload: workload, seed: seed)
    runner.tolerated = [95]
    try harness.mount()
    try runner.run()
    return runner
  }

  @Test(arguments: 1...8 as ClosedRange<UInt64>)
  func anythingAgreesWithTheModel(seed: UInt64) throws {
    let runner = try Self.run(Script(rounds: 200) { $0.anything() }, seed: seed)
    #expect(runner.actions > 200)
  }
}
