import FileProtocol
import Format

/// Rare operations that combine code paths: ranges past a file's end, files without a name, contents that
/// leave the inode and come back, attributes that outgrow it.
extension Script.Context {
  /// Regular files that are open and have no name.
  public var nameless: [Int] {
    made.filter { world.node($0).isFile && world.node($0).names.isEmpty && world.node($0).handle != nil }
  }

  /// A file with a name, or one that is only open.
  public mutating func anyFile() -> Int? {
    random.chance(20) ? random.pick(nameless) ?? file() : file()
  }

  /// Allocates, zeroes or punches a range that may lie past the file's end, begin there, or cover the whole
  /// file.
  public mutating func allocateAnywhere(_ node: Int) -> Action {
    let size = Int(world.node(node).size)
    let modes = [
      0, LinuxFlag.keepSize, LinuxFlag.keepSize | LinuxFlag.punchHole, LinuxFlag.zeroRange,
      LinuxFlag.zeroRange | LinuxFlag.keepSize,
    ]
    let offset =
      random.pick([0, size, size + random.below(600_000), random.below(size + 1), size & ~4095]) ?? 0
    let length =
      random.pick([1, 4096, size + 1, random.number(1...100_000), random.number(1...1_500_000)]) ?? 1
    return .allocate(
      node: node, mode: random.pick(modes) ?? 0, offset: UInt64(offset), length: UInt64(length))
  }

  /// Truncates a file and extends it again, a few times, with writes in between.
  public mutating func cutUpAndDown(_ node: Int) -> [Action] {
    (0..<random.number(2...4)).flatMap { _ -> [Action] in
      let size =
        random.pick([0, 1, 3839, 3841, 4095, 4097, random.below(20_000), random.below(900_000)]) ?? 0
      var actions: [Action] = [.change(node: node, .size(UInt64(size)))]
      if random.chance(50) {
        actions.append(
          .write(
            node: node, offset: UInt64(random.below(size + 5000)), length: random.number(1...9000),
            sync: random.chance(15)))
      }
      return actions
    }
  }

  /// A write over many blocks that begins and ends within a block.
  public mutating func straddle(_ node: Int) -> Action {
    let size = Int(world.node(node).size)
    let offset = random.below(size + 1) | 1
    return .write(
      node: node, offset: UInt64(offset), length: random.number(4000...200_000) | 1, sync: random.chance(15))
  }

  /// Exchanges two names of any inodes, or renames with RENAME_NOREPLACE.
  public mutating func exchange() -> [Action] {
    guard let left = random.pick(live), let right = random.pick(live), left != right,
      let from = random.pick(world.node(left).names), let to = random.pick(world.node(right).names),
      !world.isInside(to.parent, left), !world.isInside(from.parent, right)
    else { return [] }
    let flags = random.chance(80) ? LinuxFlag.renameExchange : LinuxFlag.renameNoReplace
    return [
      .rename(parent: from.parent, name: from.name, newParent: to.parent, newName: to.name, flags: flags)
    ]
  }

  /// Gives a node more attributes than its inode has room for, or removes them.
  public mutating func attributes() -> [Action] {
    guard let node = random.pick(live.filter { world.node($0).isFile || world.node($0).isDirectory }) else {
      return []
    }
    let known = world.node(node).attributeNames
    if random.chance(35) {
      let kept = random.chance(50) ? 0 : random.below(known.count + 1)
      return known.shuffled(using: &random).dropFirst(kept).map { .removeAttribute(node: node, name: $0) }
    }
    if random.chance(15) { return manyAttributes(node) }
    return (0..<random.number(1...4)).map { _ in
      let count = random.pick([0, 30, 600, 600, 1024, 1025, 4064, random.number(1000...30_000), 65536]) ?? 30
      return setAttribute(node, "user.\(random.below(6))", count)
    }
  }

  private func setAttribute(_ node: Int, _ name: String, _ count: Int) -> Action {
    let value = Stamp.bytes(file: node, write: UInt64(made.count), offset: 0, count: count)
    return .setAttribute(node: node, name: name, value: value, flags: 0)
  }

  /// More attributes than an attribute node holds, some of them long.
  private mutating func manyAttributes(_ node: Int) -> [Action] {
    let first = random.below(100)
    return (first..<first + random.number(20...80)).map { index in
      let count = random.chance(5) ? random.number(1025...6000) : random.below(250)
      return setAttribute(node, "user.one of many, number \(index)", count)
    }
  }

  /// Anything that `anything` does, and all of the above.
  public mutating func everything() -> [Action] {
    let chosen = anyFile()
    switch random.below(16) {
    case 0, 1: return chosen.map { [allocateAnywhere($0)] } ?? []
    case 2: return chosen.map { cutUpAndDown($0) } ?? []
    case 3: return chosen.map { [straddle($0)] } ?? []
    case 4: return exchange()
    case 5: return attributes()
    case 6: return file().map { remove($0) + [.read(node: $0, offset: 0, length: 50_000)] } ?? []
    case 7: return [.list(node: directory()), .sync(node: directory(), dataOnly: false)]
    default: return anything()
    }
  }
}
