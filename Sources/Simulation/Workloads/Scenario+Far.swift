import FileProtocol
import Glibc

/// Scenarios about large structures: trees of many levels, sparse files of many map nodes, many inodes at
/// once.
extension Scenario {
  static let far: [Scenario] = [deep, wide, many]

  private static let deep = Scenario("deep", "a tree of many levels, in which directories move up and down") {
    _ in
    Script(rounds: 100) { context in
      var actions: [Action] = []
      if context.directories.count < 40 || context.random.chance(30) {
        var parent = context.directories.last ?? context.home
        for _ in 0..<context.random.number(2...6) {
          let id = context.reserve()
          actions.append(.makeDirectory(parent: parent, name: context.freshName(), mode: 0o755, id: id))
          parent = id
        }
        return actions
      }
      // One a round: what it replaces is gone for the next.
      actions += context.random.chance(15) ? context.exchange() : context.renameSomething()
      return actions + (context.random.chance(20) ? context.syncSomething() : [])
    }
  }

  private static let wide = Scenario("wide", "files with a block here and there, cut, punched and removed") {
    _ in
    Script(rounds: 50) { context in
      if context.files.count < 2 { return context.makeFile(length: 4096, close: false) }
      guard let file = context.file() else { return [] }
      let place = UInt64(context.random.below(16 << 20))
      switch context.random.below(12) {
      case 0, 1: return [.change(node: file, .size(place))]
      case 2:
        return [
          .allocate(
            node: file, mode: LinuxFlag.punchHole | LinuxFlag.keepSize, offset: place,
            length: UInt64(context.random.number(1...12 << 20)))
        ]
      case 3:
        return [.change(node: file, .size(0)), .write(node: file, offset: place, length: 4096, sync: false)]
      case 4: return context.syncSomething()
      case 5: return context.random.chance(40) ? [.close(node: file)] + context.remove(file) : []
      case 6: return [.idle(nanoseconds: UInt64(context.random.below(20)) * 1_000_000_000)]
      default:
        return (0..<context.random.number(3...12)).map { _ in
          .write(
            node: file, offset: UInt64(context.random.below(16)) << 20,
            length: context.random.number(1...9000), sync: false)
        }
      }
    }
  }.with { $0.checkpointBlocks = 150 }

  private static let many = Scenario("many", "many small files made, written, removed while open, at once") {
    _ in
    Script(rounds: 24) { context in
      if context.round % 8 < 5 {
        return (0..<20).flatMap { _ in
          context.makeFile(
            length: context.random.pick([0, 300, 5000]) ?? 0, close: context.random.chance(50))
        }
      }
      let removed = context.files.shuffled(using: &context.random).prefix(40).flatMap { context.remove($0) }
      return removed + (context.random.chance(40) ? context.syncSomething() : [])
    }
  }
}
