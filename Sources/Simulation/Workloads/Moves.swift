import FileProtocol
import Format

/// Small operations on files, chosen at random.
extension Script.Context {
  /// A path to a node: one of the names it has.
  public func name(of node: Int) -> World.Edge? { world.node(node).names.first }

  public mutating func directory() -> Int { random.pick(directories) ?? home }
  public mutating func file() -> Int? { random.pick(files) }

  /// Makes a file with `length` bytes and closes it or not.
  public mutating func makeFile(length: Int, close: Bool = true) -> [Action] {
    let id = reserve()
    var actions: [Action] = [
      .create(
        parent: directory(), name: freshName(), mode: random.pick([0o644, 0o600, 0o755]) ?? 0o644, id: id)
    ]
    if length > 0 { actions.append(.write(node: id, offset: 0, length: length, sync: false)) }
    if close { actions.append(.close(node: id)) }
    return actions
  }

  /// A length near an interesting boundary: inline, one block, direct, tree.
  public mutating func length() -> Int {
    switch random.below(6) {
    case 0: random.number(1...200)
    case 1: random.number(200...4096)
    case 2: random.pick([3839, 3840, 3841, 4095, 4096, 4097, 8192]) ?? 4096
    case 3: random.number(4096...40_000)
    case 4: random.number(40_000...200_000)
    default: random.number(1...8_000)
    }
  }

  /// Writes somewhere into a file or past its end.
  public mutating func writeSomewhere(_ node: Int, longest: Int = 20_000, sync: Bool = false) -> [Action] {
    let size = Int(world.node(node).size)
    let length = random.number(1...longest)
    switch random.below(5) {
    case 0: return [.write(node: node, offset: UInt64(size), length: length, sync: sync)]
    case 1:
      let block = random.below(size / Page.size + 1) * Page.size
      return [.write(node: node, offset: UInt64(block), length: Page.size, sync: sync)]
    case 2:
      let gap = random.number(0...50_000)
      return [.write(node: node, offset: UInt64(size + gap), length: min(length, 5000), sync: sync)]
    default:
      return [.write(node: node, offset: UInt64(random.below(max(size, 1))), length: length, sync: sync)]
    }
  }

  /// Removes a name, of a file or an empty directory.
  public mutating func remove(_ node: Int) -> [Action] {
    guard let edge = random.pick(world.node(node).names) else { return [] }
    if world.node(node).isDirectory {
      return world.node(node).entries.isEmpty
        ? [.removeDirectory(parent: edge.parent, name: edge.name)] : []
    }
    return [.unlink(parent: edge.parent, name: edge.name)]
  }

  /// Renames something, over something else in one of three cases.
  public mutating func renameSomething() -> [Action] {
    guard let node = random.pick(live), let from = random.pick(world.node(node).names) else { return [] }
    let isDirectory = world.node(node).isDirectory
    let others = live.filter { world.node($0).isDirectory == isDirectory && world.node($0).entries.isEmpty }
    if random.chance(33), let victim = random.pick(others), let to = random.pick(world.node(victim).names) {
      guard !isDirectory || !world.isInside(to.parent, node) else { return [] }
      let flags = random.pick([0, 0, LinuxFlag.renameExchange]) ?? 0
      guard flags == 0 || !world.isInside(from.parent, victim) || !isDirectory else { return [] }
      return [
        .rename(parent: from.parent, name: from.name, newParent: to.parent, newName: to.name, flags: flags)
      ]
    }
    let parent = directory()
    guard !isDirectory || !world.isInside(parent, node) else { return [] }
    let flags = random.pick([0, LinuxFlag.renameNoReplace]) ?? 0
    return [
      .rename(parent: from.parent, name: from.name, newParent: parent, newName: freshName(), flags: flags)
    ]
  }

  /// Links, symlinks and extended attributes.
  public mutating func decorate() -> [Action] {
    switch random.below(6) {
    case 5:
      let id = reserve()
      var actions: [Action] = [
        .createUnnamed(parent: directory(), mode: UInt32(random.below(0o1000)), id: id)
      ]
      if random.chance(70) { actions.append(.write(node: id, offset: 0, length: length(), sync: false)) }
      if random.chance(70) { actions.append(.link(node: id, parent: directory(), name: freshName())) }
      if random.chance(70) { actions.append(.close(node: id)) }
      return actions
    case 0:
      guard let node = random.pick(live.filter { !world.node($0).isDirectory }) else { return [] }
      return [.link(node: node, parent: directory(), name: freshName())]
    case 1:
      let target = String(repeating: "t", count: random.pick([1, 60, 500, 3900, 4000]) ?? 60)
      return [.makeSymlink(parent: directory(), name: freshName(), target: target, id: reserve())]
    case 2:
      let mode: UInt32 = random.chance(50) ? FileType.fifo | 0o600 : FileType.character | 0o666
      let device: UInt32 = mode & FileType.mask == FileType.character ? 0x105 : 0
      return [.makeNode(parent: directory(), name: freshName(), mode: mode, device: device, id: reserve())]
    case 3:
      guard let node = random.pick(live), let name = random.pick(world.node(node).attributeNames) else {
        return []
      }
      return [.removeAttribute(node: node, name: name)]
    default:
      guard let node = random.pick(live.filter { world.node($0).isFile || world.node($0).isDirectory }) else {
        return []
      }
      let size = random.pick([0, 10, 100, 1000, 1200, 9000]) ?? 10
      return [
        .setAttribute(
          node: node, name: "user.\(random.pick(["a", "b", "comment"]) ?? "a")",
          value: Stamp.bytes(file: node, write: UInt64(made.count), offset: 0, count: size), flags: 0)
      ]
    }
  }

  /// A time in the past or the future to be set; nil to leave it.
  private mutating func anyTime() -> Int64? {
    guard random.chance(70) else { return nil }
    let distance = Int64(random.below(1_000_000_000)) << random.below(24)
    return SimulatedClock.start + (random.chance(50) ? distance : -distance)
  }

  /// Changes size, mode, owner or times.
  public mutating func changeSomething() -> [Action] {
    guard let node = random.pick(live) else { return [] }
    switch random.below(4) {
    case 0: return [.change(node: node, .mode(UInt32(random.below(0o1000))))]
    case 1: return [.change(node: node, .owner(UInt32(random.below(5)), UInt32(random.below(5))))]
    case 2: return [.change(node: node, .times(accessed: anyTime(), modified: anyTime()))]
    default:
      guard world.node(node).isFile else { return [] }
      return [truncate(node)]
    }
  }

  /// Truncates a file or extends it.
  public mutating func truncate(_ node: Int) -> Action {
    let size = Int(world.node(node).size)
    let target = random.pick([0, size / 2, size, size + 5000, 3840, 4096, random.below(100_000)]) ?? 0
    return .change(node: node, .size(UInt64(target)))
  }

  /// Punches, zeroes or allocates a range.
  public mutating func allocate(_ node: Int, longest: Int = 30_000) -> Action {
    let size = Int(world.node(node).size)
    let mode =
      random.pick([
        0, LinuxFlag.keepSize, LinuxFlag.keepSize | LinuxFlag.punchHole, LinuxFlag.zeroRange,
        LinuxFlag.zeroRange | LinuxFlag.keepSize,
      ]) ?? 0
    let offset = random.chance(50) ? random.below(size + 1) & ~4095 : random.below(size + 1)
    return .allocate(
      node: node, mode: mode, offset: UInt64(offset), length: UInt64(random.number(1...longest)))
  }

  /// fsync of a file or a directory.
  public mutating func syncSomething() -> [Action] {
    if random.chance(12) { return [.syncAll] }
    if random.chance(30) { return [.sync(node: directory(), dataOnly: false)] }
    guard let node = file() else { return [] }
    return [.sync(node: node, dataOnly: random.chance(40))]
  }

  /// Reads something, to compare it.
  public mutating func look() -> [Action] {
    guard let node = random.pick(live) else { return [.list(node: home)] }
    switch random.below(6) {
    case 0: return [.list(node: directory())]
    case 1: return [.inspect(node: node)]
    case 2: return [.forget(node: node)]
    case 3: return [.space]
    case 4:
      guard let edge = name(of: node) else { return [] }
      return [.lookup(parent: edge.parent, name: random.chance(70) ? edge.name : "missing")]
    default:
      guard let node = file() else { return [] }
      let size = Int(world.node(node).size)
      let offset = random.below(size + 1)
      return [.read(node: node, offset: UInt64(offset), length: random.number(1...60_000))]
    }
  }

  /// Anything at all.
  public mutating func anything() -> [Action] {
    let chosen = file()
    switch random.below(20) {
    case 0...2: return makeFile(length: random.chance(80) ? length() : 0, close: random.chance(70))
    case 3: return [.makeDirectory(parent: directory(), name: freshName(), mode: 0o755, id: reserve())]
    case 4, 5: return random.pick(live).map { remove($0) } ?? []
    case 6, 7: return renameSomething()
    case 8, 9: return decorate()
    case 10: return changeSomething()
    case 11...13: return chosen.map { writeSomewhere($0, sync: random.chance(10)) } ?? []
    case 14: return chosen.map { [random.chance(50) ? truncate($0) : allocate($0)] } ?? []
    case 15: return chosen.map { [.close(node: $0)] } ?? []
    case 16, 17: return syncSomething()
    case 18:
      return random.chance(20) ? [.idle(nanoseconds: UInt64(random.below(16_000)) * 1_000_000)] : look()
    default: return look()
    }
  }
}
