import Format

/// Carries out the repairs of one round in a transaction.
struct Repairer {
  private struct RecordKey: Hashable {
    var key: UInt64
    var node: UInt64
  }

  private let transaction: Transaction
  private let check: Check
  private var dropped: [UInt64: Set<RecordKey>] = [:]
  private var added: [UInt64: [NewRecord]] = [:]
  private var rebuilt: Set<UInt64> = []
  private var salvaged: Set<UInt64> = []
  /// lost+found, once it has been needed, and the names in it.
  private var foundHome: NodeID?
  private var homeNames: Set<[UInt8]> = []
  /// The repairs that could not be carried out, and why.
  private(set) var failures: [String] = []

  init(_ transaction: Transaction) {
    self.transaction = transaction
    check = transaction.check
  }

  /// Applies repairs; one that cannot be carried out is skipped and added to `failures`.
  mutating func apply(_ repairs: [Repair]) throws(RepairError) {
    for repair in repairs {
      try attempt { (this) throws(RepairError) in try this.apply(repair) }
    }
    for directory in Set(dropped.keys).union(added.keys).union(rebuilt).union(salvaged).sorted() {
      try attempt { (this) throws(RepairError) in try this.rebuild(directory) }
    }
  }

  private mutating func attempt(_ body: (inout Repairer) throws(RepairError) -> Void) throws(RepairError) {
    do throws(RepairError) { try body(&self) } catch {
      switch error {
      case .unreadable, .directoryFull: failures.append(error.description)
      case .noSpace, .device: throw error
      }
    }
  }

  private mutating func apply(_ repair: Repair) throws(RepairError) {
    switch repair {
    case .rewriteSuperblocks, .newCheckpoint: break
    case .setLinks(let number, let links): try transaction.inode(number).links = links
    case .setBlocks(let number, let blocks): try transaction.inode(number).blocks = blocks
    case .setSize(let number, let size): try transaction.inode(number).size = size
    case .setParent(let number, let parent): try transaction.inode(number).parent = parent
    case .dropRecord(let directory, let key, let node):
      dropped[directory, default: []].insert(RecordKey(key: key, node: node))
    case .rebuildDirectory(let directory): rebuilt.insert(directory)
    case .salvageDirectory(let directory): salvaged.insert(directory)
    case .reattach(let number): try reattach(number)
    case .orphan(let number): try addOrphan(number)
    case .freeNode(let number): try transaction.freeNode(number)
    case .rebuildAttributes(let number): try transaction.rebuildAttributes(of: number)
    case .clearInode(let number): try transaction.clearInode(number)
    case .remakeDirectory(let number): transaction.remakeDirectory(number)
    case .dropCutOff(let number):
      let inode = try transaction.inode(number)
      inode.detachedRoot = 0
      inode.detachedHeight = 0
    case .retireTableBlock(let kind, let level, let index):
      transaction.retireTableBlock(kind, level: level, index: index)
    }
  }

  // MARK: Directories

  private mutating func rebuild(_ directory: UInt64) throws(RepairError) {
    let drop = dropped[directory] ?? []
    var (records, former) = try contents(of: directory)
    records.removeAll { drop.contains(RecordKey(key: $0.key, node: $0.node.raw)) }
    for index in records.indices where directory != NodeID.orphans.number {
      guard let target = check.inodes.find(records[index].node.number)?.pointee,
        target.flags.contains(.readable)
      else { continue }
      records[index].type = target.type
    }
    try transaction.store(records + (added[directory] ?? []), in: directory, insteadOf: former)
  }

  private func contents(of directory: UInt64) throws(RepairError) -> (records: [NewRecord], nodes: [UInt64]) {
    guard salvaged.contains(directory) else { return try transaction.records(of: directory) }
    let salvage = try Salvage(transaction, directory: directory)
    return (salvage.records, salvage.nodes.sorted())
  }

  private mutating func addOrphan(_ number: UInt64) throws(RepairError) {
    let inode = try transaction.inode(number)
    inode.links = 0
    added[NodeID.orphans.number, default: []].append(
      NewRecord(
        name: Check.orphanName(number), node: inode.id,
        type: UInt8(truncatingIfNeeded: inode.mode >> 12 & 0xF)))
  }

  /// Gives an inode the name "#NUMBER" in lost+found.
  private mutating func reattach(_ number: UInt64) throws(RepairError) {
    let inode = try transaction.inode(number)
    let home = try lostAndFound()
    var name = "#\(number)"
    while !homeNames.insert(Array(name.utf8)).inserted { name += "~" }
    added[home.number, default: []].append(
      NewRecord(
        name: Array(name.utf8), node: inode.id, type: UInt8(truncatingIfNeeded: inode.mode >> 12 & 0xF)))
    if inode.isDirectory {
      inode.parent = home.raw
      let directory = try transaction.inode(home.number)
      directory.gainSubdirectory()
    }
    if inode.links == 0 { inode.links = inode.isDirectory ? 2 : 1 }
  }

  /// The directory lost+found in the root, made when there is none.
  private mutating func lostAndFound() throws(RepairError) -> NodeID {
    if let foundHome { return foundHome }
    let records = try transaction.records(of: NodeID.root.number).records
    var name = "lost+found"
    while let record = records.first(where: { $0.name == Array(name.utf8) }) {
      if check.inodes.find(record.node.number)?.pointee.isDirectory ?? false,
        let inside = try? transaction.records(of: record.node.number).records
      {
        homeNames = Set(inside.map(\.name))
        foundHome = record.node
        return record.node
      }
      name += "~"
    }
    let made = try transaction.makeInode(mode: 0o040700)
    made.links = 2
    made.parent = NodeID.root.raw
    let root = try transaction.inode(NodeID.root.number)
    root.gainSubdirectory()
    added[NodeID.root.number, default: []].append(
      NewRecord(name: Array(name.utf8), node: made.id, type: 4))
    foundHome = made.id
    return made.id
  }
}
