import FileProtocol
import Glibc
import MemoryService
import Simulation
import Testing

/// The model, the runner and the harness, with a filesystem that exists only in memory.
@Suite struct RunnerTests {
  static func run(
    _ workload: any Workload, clients: Int = 1, seed: UInt64, tolerated: Set<Int32> = [EOPNOTSUPP],
    isUnreadable: Bool = false
  ) throws -> Runner {
    let image = DiskImage(pool: BlockPool(), blockCount: 64)
    let disk = SimulatedDisk(image, seed: seed)
    let memory = SimulatedMemory(frameCount: 1)
    let files = MemoryService(slots: memory.slots, arena: memory.base)
    let service: any FileService = isUnreadable ? UnreadableService(files) : files
    let harness = Harness(service: service, disk: disk, memory: memory, seed: seed)
    let runner = Runner(
      harness: harness, world: World(clients: clients), workload: workload, seed: seed)
    runner.tolerated = tolerated
    try harness.mount()
    try runner.run()
    return runner
  }

  @Test(arguments: 1...8 as ClosedRange<UInt64>)
  func anythingAgreesWithTheModel(seed: UInt64) throws {
    let runner = try Self.run(Script(rounds: 200) { $0.anything() }, seed: seed)
    #expect(runner.actions > 200)
  }

  /// A listing names an inode that cannot be read without its node: allowed where the disk has read errors.
  @Test func anUnreadableInodeIsListedWithoutItsNode() throws {
    func work() -> Script {
      Script(rounds: 1) { context in
        [
          .makeNode(
            parent: 0, name: "f", mode: FileType.regular | 0o644, device: 0, id: context.reserve()),
          .list(node: 0),
        ]
      }
    }
    let runner = try Self.run(work(), seed: 1, tolerated: [EIO], isUnreadable: true)
    #expect(runner.refusals == [EIO: 1])
    #expect(throws: SimulationFailure.self) {
      try Self.run(work(), seed: 1, tolerated: [], isUnreadable: true)
    }
  }
}

/// A service whose listings name everything but "." and ".." as an inode that cannot be read.
private final class UnreadableService: FileService {
  private let service: MemoryService

  init(_ service: MemoryService) { self.service = service }

  var requests: UnsafeMutablePointer<Request> { service.requests }
  var replies: UnsafeMutablePointer<Reply> { service.replies }
  var effects: Effects { service.effects }
  var now: Instant {
    get { service.now }
    set { service.now = newValue }
  }
  var isStopped: Bool { service.isStopped }
  var isReady: Bool { service.isReady }
  var failure: String? { service.failure }

  func begin(slot: Int) {
    service.begin(slot: slot)
    for index in replies[slot].entries.indices where replies[slot].entries[index].cookie > 2 {
      replies[slot].entries[index].node = 0
    }
  }

  func forget(node: UInt64, count: UInt64) { service.forget(node: node, count: count) }
  func complete(tag: UInt64, errno: Int32) { service.complete(tag: tag, errno: errno) }
  func advance() -> UInt64 { service.advance() }
  func stop() { service.stop() }
}
