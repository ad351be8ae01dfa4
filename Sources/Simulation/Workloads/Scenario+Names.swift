import FileProtocol

/// Scenarios about names and attributes.
extension Scenario {
  static let names: [Scenario] = [smallFiles, directories, links, anything, numbers, nameless]

  private static let smallFiles = Scenario("small", "small files made, changed and removed") { _ in
    Script(rounds: 70) { context in
      if context.files.count < 6 || context.random.chance(35) {
        return context.makeFile(length: context.random.chance(20) ? 0 : context.random.number(1...9000))
      }
      guard let file = context.file() else { return [] }
      switch context.random.below(6) {
      case 0: return context.syncSomething()
      case 1: return context.changeSomething()
      case 2: return context.writeSomewhere(file, longest: 3000)
      default: return context.remove(file)
      }
    }
  }

  private static let directories = Scenario("directory", "a directory grows into leaves and shrinks back") {
    _ in
    Script(rounds: 60) { context in
      guard let directory = context.directories.dropFirst().first else {
        return [.makeDirectory(parent: context.home, name: "big", mode: 0o755, id: context.reserve())]
      }
      let shrinks = context.round % 60 > 38
      let files = context.files
      if shrinks, !files.isEmpty {
        return files.shuffled(using: &context.random).prefix(14).flatMap { context.remove($0) }
          + (context.random.chance(20) ? [.sync(node: directory, dataOnly: false)] : [])
      }
      var actions: [Action] = (0..<8).map { _ in
        let name = context.freshName() + String(repeating: "x", count: context.random.below(60))
        return .makeNode(
          parent: directory, name: name, mode: FileType.regular | 0o644, device: 0, id: context.reserve())
      }
      if context.random.chance(30) { actions += context.renameSomething() }
      if context.random.chance(20) { actions.append(.sync(node: directory, dataOnly: false)) }
      if context.random.chance(10) { actions.append(.list(node: directory)) }
      return actions
    }
  }

  private static let links = Scenario("links", "links, symlinks, extended attributes, renames of directories")
  { _ in
    Script(rounds: 90) { context in
      if context.files.count < 4 { return context.makeFile(length: context.random.below(5000)) }
      switch context.random.below(10) {
      case 0:
        return [
          .makeDirectory(
            parent: context.directory(), name: context.freshName(), mode: 0o2755, id: context.reserve())
        ]
      case 1...4: return context.decorate()
      case 5, 6: return context.renameSomething()
      case 7: return context.changeSomething()
      case 8: return context.syncSomething()
      default: return context.random.pick(context.live).map { context.remove($0) } ?? []
      }
    }
  }

  private static let numbers = Scenario("numbers", "files come and go until their numbers come again") { _ in
    Script(rounds: 16) { context in
      let sync: [Action] = context.random.chance(50) ? [.sync(node: context.home, dataOnly: false)] : []
      guard context.round % 2 == 1 else {
        return (0..<110).map { _ in
          .makeNode(
            parent: context.home, name: context.freshName(), mode: FileType.regular | 0o644, device: 0,
            id: context.reserve())
        } + sync
      }
      // Removed files have time to be freed.
      return context.files.dropFirst(context.random.below(8)).flatMap { context.remove($0) } + sync
        + [.idle(nanoseconds: 1_000_000_000)]
    }
  }.with { $0.checkpointBlocks = 60 }

  private static let nameless = Scenario(
    "nameless", "many files without a name are open when the power fails"
  ) {
    _ in
    Script(rounds: 10) { context in
      guard context.round % 2 == 1 else {
        return (0..<25).flatMap { _ in context.makeFile(length: context.random.below(200), close: false) }
      }
      return context.files.flatMap { context.remove($0) } + [.sync(node: context.home, dataOnly: false)]
    }
  }.with { $0.checkpointBlocks = 60 }

  private static let anything = Scenario("anything", "everything there is, by one client") { _ in
    Script(rounds: 110) { $0.anything() }
  }
}
