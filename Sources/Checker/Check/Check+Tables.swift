import Format

extension Check {
  /// Walks the table of internal nodes.
  func checkNodeTable() {
    walkTable(.internalTable, pack.internals, into: nodeLeaves) { first, page in
      for offset in 0..<Entry.perBlock {
        let entry = Entry(page, at: offset * Entry.size)
        guard checkTableEntry(entry, first + UInt64(offset), .internalTable, pack.internals) else { continue }
        references.addUsed(first + UInt64(offset))
        nodeNumbers.add(first + UInt64(offset))
      }
    }
    checkUsedCount(pack.internals, .internalTable, nodeNumbers.used)
  }

  /// Whether the entry has an address. Reports an entry that is invalid.
  func checkTableEntry(_ entry: Entry, _ number: UInt64, _ kind: OwnerKind, _ root: TableRoot) -> Bool {
    let place = Finding.Place.tableBlock(kind, level: 0, index: number >> 8)
    if entry.stamp > NodeID.maximumGeneration {
      note(Finding(.tableEntry, .inconsistency, place, "number \(number) has generation \(entry.stamp)"))
    }
    guard entry.address != 0 else { return false }
    if number == 0 || number >= root.limit {
      note(
        Finding(
          .tableEntry, .inconsistency, place, "number \(number) is in use, though never allocated",
          repairs: number == 0 ? [] : [.newCheckpoint], isSafe: true))
    }
    return true
  }

  /// Compares the root's count of numbers in use with the number found.
  func checkUsedCount(_ root: TableRoot, _ kind: OwnerKind, _ used: UInt64) {
    let isSearchable = root.limit == 0 || (1...root.limit).contains(root.cursor)
    guard isWhole, used != root.used || !isSearchable else { return }
    note(
      Finding(
        .tableCount, .inconsistency, .tableBlock(kind, level: Int(root.height) - 1, index: 0),
        "\(root.used) numbers in use, counted \(used); next search from \(root.cursor), limit \(root.limit)",
        repairs: [.newCheckpoint], isSafe: true))
  }

  /// Walks a node table downwards, calling `body` with each leaf's first number and the leaf.
  func walkTable(
    _ kind: OwnerKind, _ root: TableRoot, into leaves: TableLeaves, body: (UInt64, Page) -> Void
  ) {
    guard root.address != 0 else { return }
    let entry = Entry(address: root.address, checksum: root.checksum)
    walkTable(kind, level: Int(root.height) - 1, [BlockReference(entry: entry, tag: 0)], into: leaves, body)
  }

  /// The repairs of a damaged table block. So many nodes depend on it that it is given up only when the
  /// options say so; the blocks at the top of a large table cannot be replaced.
  private func repairs(ofTable kind: OwnerKind, level: Int, index: UInt64) -> [Repair] {
    options.dropsTables && level < 2 ? [.retireTableBlock(kind, level: level, index: index)] : []
  }

  /// Repairs that give up inodes or nodes that cannot be read: none while they may only lie below a damaged
  /// table block that is kept.
  func givingUp(_ repairs: Repair...) -> [Repair] { keepsTableBlock ? [] : repairs }

  private func walkTable(
    _ kind: OwnerKind, level: Int, _ blocks: [BlockReference], into leaves: TableLeaves,
    _ body: (UInt64, Page) -> Void
  ) {
    var read = 0
    let places = Dictionary(blocks.map { ($0.tag, $0.entry) }, uniquingKeysWith: { first, _ in first })
    fetch(
      blocks, claiming: true, .tableBlock, place: { .tableBlock(kind, level: level, index: $0) },
      repairs: { repairs(ofTable: kind, level: level, index: $0) }
    ) { index, page in
      read += 1
      guard level > 0 else {
        leaves.add(index, at: places[index] ?? Entry(), page)
        body(index << 8, page)
        return
      }
      let children = (0..<Entry.perBlock).map {
        BlockReference(entry: Entry(page, at: $0 * Entry.size), tag: index << 8 | UInt64($0))
      }
      let present = children.filter { $0.entry.address != 0 }
      walkTable(kind, level: level - 1, present, into: leaves, body)
    }
    if read < blocks.count, !options.dropsTables { keepsTableBlock = true }
  }
}
