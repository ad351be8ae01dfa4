import Format

/// The records that can still be found of a directory whose nodes are damaged.
///
/// A record is taken from a damaged block only if it is certainly genuine: its key contains the keyed hash of
/// its name (48 bits), and its inode exists in that generation, is of that type and has more links than names
/// were found. If the inode is a directory, its parent must be this one. Inodes of records not taken move to
/// lost+found.
struct Salvage {
  private let transaction: Transaction
  private let directory: UInt64
  private(set) var records: [NewRecord] = []
  /// The nodes that the records lie in: certainly this directory's.
  private(set) var nodes: Set<UInt64> = []
  private var visited: Set<UInt64> = []
  /// Records of damaged blocks, by the inode they name.
  private var suspects: [UInt64: [NewRecord]] = [:]

  private var check: Check { transaction.check }

  /// Searches all nodes that the directory refers to and, where some of these are damaged, all unreferenced
  /// nodes.
  init(_ transaction: Transaction, directory: UInt64) throws(RepairError) {
    self.transaction = transaction
    self.directory = directory
    let inode = try transaction.inode(directory)
    guard inode.layout == .node else {
      records = Transaction.collect(DirectoryEntries(inode))
      return
    }
    visit(inode.root, depth: 0)
    var lost: [UInt64] = []
    check.references.forEachUnreferenced { lost.append($0) }
    for number in lost { visit(number, depth: DirectoryIndex.maximumDepth) }
    for (number, found) in suspects where lacksNames(number, found.count) { records += found }
  }

  /// Takes the records of a leaf, or of the leaves below an index.
  private mutating func visit(_ reference: UInt64, depth: Int) {
    let number = reference & ~DirectoryIndex.referenceFlag
    guard number != 0, visited.insert(number).inserted else { return }
    let buffer: PageBuffer
    do throws(RepairError) { buffer = try transaction.node(number) } catch {
      takeDamaged(number)
      return
    }
    let leaf = DirectoryLeaf(buffer.page)
    let index = DirectoryIndex(buffer.page)
    if leaf.isValid, leaf.owner == directory {
      nodes.insert(number)
      records += Transaction.collect(DirectoryEntries(leaf))
    } else if index.isValid, index.owner == directory, depth < DirectoryIndex.maximumDepth {
      nodes.insert(number)
      for slot in 0..<DirectoryIndex.slots { visit(index[slot], depth: depth + 1) }
    }
  }

  /// Takes the genuine records of a node whose checksum is wrong.
  private mutating func takeDamaged(_ number: UInt64) {
    guard let buffer = transaction.damagedNode(number) else { return }
    let leaf = DirectoryLeaf(buffer.page)
    guard leaf.owner == directory else { return }
    nodes.insert(number)
    let entries = DirectoryEntries(damaged: leaf)
    var offset = entries.start
    while offset < Page.size {
      if let record = entries.record(at: offset), isWhole(record) {
        suspects[record.node.number, default: []].append(NewRecord(record))
        offset += record.length
      } else {
        offset += 1
      }
    }
  }

  private func isWhole(_ record: DirectoryRecord) -> Bool {
    guard record.key >> DirectoryHash.ordinalBits == check.hash.of(record.name),
      let target = check.inodes.find(record.node.number)?.pointee
    else { return false }
    return target.generation == record.node.generation && target.type == record.type
  }

  /// Whether an inode's links allow for `count` more names than were found.
  private func lacksNames(_ number: UInt64, _ count: Int) -> Bool {
    guard let target = check.inodes.find(number)?.pointee else { return false }
    guard target.isDirectory else { return Int(target.names) + count <= Int(target.links) }
    guard let summary = check.directories[number] else { return false }
    return count == 1 && summary.foundIn == 0 && NodeID(raw: summary.parent).number == directory
  }
}
