import FileProtocol
import Format
import Glibc

/// Scenarios about the contents of files.
extension Scenario {
  static let contents: [Scenario] = [
    append, overwrite, replace, sizes, sequential, deletion, cutting,
  ]

  private static let append = Scenario("append", "log files that grow by bits, synced now and then") { _ in
    Script(rounds: 60) { context in
      if context.files.count < 3 { return context.makeFile(length: context.random.number(0...300)) }
      guard let file = context.file() else { return [] }
      let length = context.random.number(1...(context.random.chance(30) ? 12_000 : 500))
      let size = context.world.node(file).size
      var actions: [Action] = [
        .write(node: file, offset: size, length: length, sync: context.random.chance(10))
      ]
      if context.random.chance(40) { actions.append(.sync(node: file, dataOnly: context.random.chance(50))) }
      return actions
    }
  }

  private static let overwrite = Scenario("overwrite", "a database: synced overwrites at random places") {
    _ in
    Script(rounds: 70) { context in
      guard let file = context.files.first else {
        return context.makeFile(length: 200_000, close: false)
          + context.files.map { .sync(node: $0, dataOnly: false) }
      }
      let whole = context.random.chance(70)
      let offset = context.random.below(380_000) & (whole ? ~4095 : ~0)
      let length = whole ? 4096 * context.random.number(1...4) : context.random.number(1...9000)
      var actions: [Action] = [
        .write(node: file, offset: UInt64(offset), length: length, sync: context.random.chance(10))
      ]
      if context.random.chance(25) { actions.append(.sync(node: file, dataOnly: context.random.chance(50))) }
      if context.random.chance(10) {
        actions.append(.read(node: file, offset: UInt64(offset / 2), length: 30_000))
      }
      return actions
    }
  }

  private static let replace = Scenario("replace", "editors: save by rename, and by emptying and rewriting") {
    _ in
    Script(rounds: 30) { context in
      let names = ["notes", "config", "draft"]
      let name = context.random.pick(names) ?? "notes"
      let length = context.length()
      guard let old = context.world.child(context.home, name) else {
        let id = context.reserve()
        return [
          .create(parent: context.home, name: name, mode: 0o644, id: id),
          .write(node: id, offset: 0, length: length, sync: false), .close(node: id),
          .sync(node: id, dataOnly: false), .close(node: id),
        ]
      }
      if context.random.chance(40) {
        return [
          .change(node: old, .size(0)), .write(node: old, offset: 0, length: length, sync: false),
          .close(node: old),
        ]
      }
      let id = context.reserve()
      let sync: [Action] = context.random.chance(30) ? [.sync(node: id, dataOnly: false)] : []
      return [
        .create(parent: context.home, name: name + "~", mode: 0o600, id: id),
        .write(node: id, offset: 0, length: length, sync: false),
      ] + sync + [
        .close(node: id), .change(node: id, .mode(0o644)),
        .rename(parent: context.home, name: name + "~", newParent: context.home, newName: name, flags: 0),
      ] + (context.random.chance(20) ? context.syncSomething() : [])
    }
  }

  private static let sizes = Scenario("sizes", "truncate up and down, holes, punching, zeroing, allocating") {
    _ in
    Script(rounds: 60) { context in
      if context.files.count < 3 { return context.makeFile(length: context.length(), close: false) }
      guard let file = context.file() else { return [] }
      var actions: [Action] = []
      switch context.random.below(4) {
      case 0: actions = [context.truncate(file)]
      case 1: actions = [context.allocate(file)]
      default: actions = context.writeSomewhere(file)
      }
      if context.random.chance(25) { actions.append(.sync(node: file, dataOnly: context.random.chance(50))) }
      if context.random.chance(20) { actions.append(.read(node: file, offset: 0, length: 200_000)) }
      return actions
    }
  }

  private static let sequential = Scenario("sequential", "large files written through several segments") {
    _ in
    Script(rounds: 24) { context in
      if context.files.count < 2 { return context.makeFile(length: 4096, close: false) }
      guard let file = context.file() else { return [] }
      let size = context.world.node(file).size
      var actions: [Action] = [.write(node: file, offset: size, length: 256 * 1024, sync: false)]
      if context.random.chance(15) { actions.append(.sync(node: file, dataOnly: false)) }
      return actions
    }
  }

  private static let deletion = Scenario("deletion", "big files cut and removed, some while open") { _ in
    Script(rounds: 30) { context in
      if context.files.count < 3 {
        let blocks = context.random.pick([20, 127, 129, 300, 600]) ?? 20
        var actions = context.makeFile(length: 4096, close: false)
        guard let id = context.made.last else { return [] }
        var offset = 4096
        while offset < blocks * 4096 {
          let length = min(200_000, blocks * 4096 - offset)
          actions.append(.write(node: id, offset: UInt64(offset), length: length, sync: false))
          offset += length
        }
        if context.random.chance(60) { actions.append(.sync(node: id, dataOnly: false)) }
        return actions
      }
      guard let file = context.file() else { return [] }
      switch context.random.below(6) {
      case 0: return [.change(node: file, .size(UInt64(context.random.below(1_000_000))))]
      case 1: return [.close(node: file)] + context.remove(file)
      case 2: return context.remove(file) + [.read(node: file, offset: 0, length: 50_000)]
      case 3: return context.syncSomething()
      case 4: return [.idle(nanoseconds: 11_000_000_000)]
      default: return context.writeSomewhere(file)
      }
    }
  }

  private static let cutting = Scenario(
    "cutting", "a big file cut and punched several times between two checkpoints"
  ) {
    _ in
    Script(rounds: 40) { context in
      guard let file = context.files.last, context.world.node(file).size > 100_000 else {
        let old = context.files.flatMap { context.remove($0) }
        var actions = old + context.makeFile(length: 4096, close: false)
        guard let id = context.made.last else { return old }
        for part in 0..<UInt64(context.random.number(8...20)) {
          actions.append(.write(node: id, offset: 4096 + part << 18, length: 1 << 18, sync: false))
        }
        actions.append(.sync(node: id, dataOnly: false))
        // Its map is in a checkpoint then, and no longer in memory.
        return actions + [.idle(nanoseconds: 40_000_000_000)]
      }
      let size = Int(context.world.node(file).size)
      switch context.random.below(10) {
      case 0: return [.change(node: file, .size(UInt64(size + context.random.below(3_000_000))))]
      case 1: return context.writeSomewhere(file)
      case 2: return context.syncSomething()
      case 3: return [.idle(nanoseconds: UInt64(context.random.below(8)) * 1_000_000_000)]
      case 4: return [.read(node: file, offset: UInt64(context.random.below(size)), length: 100_000)]
      case 5: return [context.allocate(file, longest: 2_000_000)]
      default: return [.change(node: file, .size(UInt64(size - context.random.below(size / 3))))]
      }
    }
  }
}
