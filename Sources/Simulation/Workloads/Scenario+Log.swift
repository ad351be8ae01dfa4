import FileProtocol
import Glibc

/// Scenarios about the log: checkpoints, cleaning, discard, failures, and several requests at once.
extension Scenario {
  static let logs: [Scenario] = [
    checkpoints, recovery, concurrent, shared, discard, cleaner, full, failure,
  ]

  private static let checkpoints = Scenario("checkpoint", "checkpoints all the time") { _ in
    Script(rounds: 110) { $0.anything() }
  }.with { $0.checkpointBlocks = 40 }

  private static let recovery = Scenario("recovery", "the power fails again while recovering") { _ in
    Script(rounds: 60) { $0.anything() }
  }.with {
    $0.checkpointBlocks = 120
    $0.crashesRecovery = true
  }

  private static let concurrent = Scenario("concurrent", "six clients at once, each in its directory") { _ in
    Script(rounds: 25) { $0.anything() }
  }.with { $0.clients = 6 }

  private static let shared = Scenario("shared", "five clients write and sync parts of one file") { _ in
    Script(rounds: 40) { context in
      guard let file = context.world.child(0, "shared") else {
        guard context.client == 0 else { return [.idle(nanoseconds: 1_000_000)] }
        return [
          .create(parent: 0, name: "shared", mode: 0o666, id: context.reserve())
        ]
      }
      guard context.world.node(file).handle != nil else { return [.idle(nanoseconds: 1_000_000)] }
      // Each client has every fifth stretch of 16 blocks.
      let stretch = context.random.below(8) * 5 + context.client
      let offset = UInt64(stretch) * 65536 + UInt64(context.random.below(12) * 4096)
      var actions: [Action] = [
        .write(
          node: file, offset: offset, length: context.random.number(1...4) * 4096,
          sync: context.random.chance(10))
      ]
      if context.random.chance(30) { actions.append(.sync(node: file, dataOnly: context.random.chance(50))) }
      if context.random.chance(10) { actions.append(.read(node: file, offset: offset, length: 16384)) }
      return actions
    }
  }.with { $0.clients = 5 }

  private static let discard = Scenario(
    "discard", "big files come and go, segments are discarded and used again"
  ) { _ in
    Script(rounds: 40) { context in
      if context.files.count < 4 {
        var actions = context.makeFile(length: 250_000, close: false)
        guard let id = context.made.last else { return [] }
        for part in 1..<5 {
          actions.append(.write(node: id, offset: UInt64(part) * 250_000, length: 250_000, sync: false))
        }
        return actions + [.sync(node: id, dataOnly: false)]
      }
      if context.random.chance(25) { return [.idle(nanoseconds: 6_000_000_000)] }
      guard let file = context.file() else { return [] }
      return [.close(node: file)] + context.remove(file)
    }
  }.with {
    $0.checkpointBlocks = 300
    $0.profile = { profile in
      profile.canDiscard = true
      profile.discarded = profile.discarded == .old ? .mixed : profile.discarded
    }
  }

  /// A disk of 34 MiB, so that a few large files fill it.
  private static let smallDisk: UInt64 = 34 * 256 + 64

  private static let cleaner = Scenario("cleaner", "overwrites on a disk that is three quarters full") { _ in
    Script(rounds: 150) { context in
      if context.files.count < 20 { return context.makeFile(length: 256 * 1024, close: true) + [.space] }
      guard let file = context.file() else { return [] }
      let offset = UInt64(context.random.below(52) * 4096)
      var actions: [Action] = [
        .write(node: file, offset: offset, length: context.random.number(1...12) * 4096, sync: false)
      ]
      // So blocks are overwritten and written elsewhere while the cleaner moves them.
      if context.random.chance(45) { actions.append(.sync(node: file, dataOnly: false)) }
      if context.random.chance(5) { actions += [.close(node: file)] + context.remove(file) }
      return actions
    }
  }.with {
    $0.blockCount = smallDisk
    $0.tolerated = [ENOSPC]
    $0.checkpointBlocks = 400
  }

  private static let full = Scenario("full", "a disk filled to the last block, emptied, and filled again") {
    _ in
    Script(rounds: 120) { context in
      if context.memory["deleting", default: 0] > 0, !context.files.isEmpty {
        context.memory["deleting", default: 0] -= 1
        guard let file = context.file() else { return [] }
        return [.close(node: file)] + context.remove(file)
          + (context.random.chance(20) ? context.syncSomething() : [])
      }
      if context.random.chance(6) { context.memory["deleting"] = context.random.number(3...30) }
      if context.random.chance(20) { return context.anything() }
      return context.makeFile(length: context.random.pick([3000, 100_000, 256 * 1024, 256 * 1024]) ?? 3000)
        + (context.random.chance(10) ? context.syncSomething() : [])
    }
  }.with {
    $0.blockCount = smallDisk
    $0.tolerated = [ENOSPC]
    $0.checkpointBlocks = 400
  }

  private static let failure = Scenario("failure", "a write, a flush or a read fails") { _ in
    Script(rounds: 80) { $0.anything() }
  }.with {
    $0.tolerated = [EIO, EROFS]
    $0.checkpointBlocks = 150
    $0.faults = { random in
      let kinds: [DiskFault.Operation] = [.write, .write, .write, .flush, .read, .discard]
      return (0..<random.number(1...3)).map { _ in
        DiskFault(
          random.pick(kinds) ?? .write, skip: random.below(60), count: random.pick([1, 1, 2, 1000]) ?? 1)
      }
    }
  }

  /// Every scenario.
  public static let all: [Scenario] = names + contents + logs + mixed + far
}
