import FileProtocol
import Glibc

/// Scenarios that combine rare operations.
extension Scenario {
  static let mixed: [Scenario] = [everything, crowd, failures]

  private static let everything = Scenario(
    "everything", "ranges past the end, files without names, attributes that outgrow the inode"
  ) { _ in
    Script(rounds: 90) { $0.everything() }
  }.with { $0.crashesRecovery = true }

  private static let crowd = Scenario("crowd", "the same by four clients at once") { _ in
    Script(rounds: 30) { $0.everything() }
  }.with {
    $0.clients = 4
    $0.checkpointBlocks = 100
  }

  private static let failures = Scenario("failures", "many commands fail, one here and one there") { _ in
    Script(rounds: 25) { context in
      context.random.chance(30)
        ? context.syncSomething() : context.random.chance(50) ? context.everything() : context.anything()
    }
  }.with {
    $0.clients = 3
    $0.tolerated = [EIO, EROFS]
    $0.checkpointBlocks = 100
    $0.faults = { random in
      let kinds: [DiskFault.Operation] = [.write, .write, .write, .write, .write, .read, .read, .discard]
      return (0..<random.number(3...12)).map { _ in
        DiskFault(random.pick(kinds) ?? .write, skip: random.below(200))
      }
    }
  }
}
