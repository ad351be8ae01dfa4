import FileProtocol
import Glibc
import Simulation
import Testing

/// Random workloads compared with the model, reply by reply, and everything again after a remount.
@Suite struct ModelTests {
  /// Runs a scenario's workload without crashes, then remounts and compares everything.
  static func run(_ workload: any Workload, clients: Int = 1, seed: UInt64, megabytes: UInt64 = 64) throws {
    let mounted = try Mounted(megabytes: megabytes, seed: seed)
    let world = World(clients: clients)
    let runner = Runner(harness: mounted.harness, world: world, workload: workload, seed: seed)
    try runner.run()
    try mounted.remount()
    world.settleAll()
    let fault = world.fault(try Recovered(mounted.harness))
    #expect(fault == nil)
    #expect(runner.actions > 50)
  }

  @Test(arguments: 1...10 as ClosedRange<UInt64>)
  func anythingByOneClient(seed: UInt64) throws {
    try Self.run(Script(rounds: 250) { $0.anything() }, seed: seed)
  }

  @Test(arguments: 1...6 as ClosedRange<UInt64>)
  func anythingByEightClientsAtOnce(seed: UInt64) throws {
    try Self.run(Script(rounds: 60) { $0.anything() }, clients: 7, seed: seed)
  }

  /// An fallocate that zeroes a range fails when the disk is full, after a part of the range has been zeroed.
  @Test func aRangeThatIsZeroedInPart() throws {
    let mounted = try Mounted(megabytes: 40)
    let world = World(clients: 1)
    let (file, other) = (world.reserve(client: 0), world.reserve(client: 0))
    func run(_ actions: [Action]) throws -> Runner {
      let script = Script(rounds: 1) { _ in actions }
      let runner = Runner(harness: mounted.harness, world: world, workload: script, seed: 1)
      runner.tolerated = [ENOSPC]
      try runner.run()
      return runner
    }
    let writes = (0..<8).map { Action.write(node: file, offset: $0 * 250_000, length: 250_000, sync: false) }
    _ = try run(
      [.create(parent: 0, name: "f", mode: 0o644, id: file)] + writes
        + [.create(parent: 0, name: "other", mode: 0o644, id: other), .sync(node: file, dataOnly: false)])
    let most = try mounted.space.available - 400
    _ = try run([.allocate(node: other, mode: 0, offset: 0, length: most * 4096), .syncAll])
    try mounted.settle()
    // The file's second half, and more blocks behind it than there are.
    let zeroing = try run([
      .allocate(
        node: file, mode: LinuxFlag.zeroRange, offset: 1_000_000, length: 1_000_000 + 500 * 4096),
      .read(node: file, offset: 900_000, length: 200_000),
    ])
    #expect(zeroing.refusals == [ENOSPC: 1])
    let zeroed = try mounted.read(try mounted.path("f"), at: 1_040_000, count: 4096)
    #expect(zeroed.allSatisfy { $0 == 0 })
    try mounted.remount()
    world.settleAll()
    #expect(world.fault(try Recovered(mounted.harness)) == nil)
  }

  @Test(arguments: 1...3 as ClosedRange<UInt64>)
  func filesLargerThanTheCache(seed: UInt64) throws {
    let work = Script(rounds: 220) { context in
      if context.files.count < 8 || context.random.chance(30) {
        return context.makeFile(length: context.random.number(100_000...250_000), close: false)
      }
      guard let file = context.file() else { return [] }
      let size = Int(context.world.node(file).size)
      switch context.random.below(4) {
      case 0: return context.writeSomewhere(file)
      case 1: return context.files.count > 60 ? context.remove(file) : []
      case 2: return [.forget(node: file), .inspect(node: file)]
      default:
        return [
          .read(
            node: file, offset: UInt64(context.random.below(size + 1)),
            length: context.random.number(1...200_000))
        ]
      }
    }
    try Self.run(work, seed: seed, megabytes: 96)
  }

  @Test(arguments: 1...3 as ClosedRange<UInt64>)
  func namesLargerThanTheCache(seed: UInt64) throws {
    let work = Script(rounds: 500) { context in
      switch context.random.below(8) {
      case 0:
        return [
          .makeDirectory(
            parent: context.directory(), name: context.freshName(), mode: 0o755, id: context.reserve())
        ]
      case 1: return context.renameSomething()
      case 2: return context.random.pick(context.live).map { context.remove($0) } ?? []
      case 3: return context.look()
      default:
        let directory = context.directory()
        return (0..<8).map { _ in
          .makeNode(
            parent: directory, name: context.freshName(), mode: FileType.regular | 0o644, device: 0,
            id: context.reserve())
        }
      }
    }
    try Self.run(work, seed: seed)
  }
}
