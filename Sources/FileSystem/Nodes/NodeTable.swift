import FileProtocol
import Format
import Glibc

/// The state in memory of one of the two tables that find nodes by number.
///
/// Owns the root, the pool of free numbers for operations, and the numbers given up whose entries are still
/// to be cleared. The table's blocks are in the cache; the extension of `NodeStore` below reads and changes
/// them.
///
/// Only the leaf in which a number was found is made dirty, not those that were searched in vain. A number in
/// the pool is marked in its leaf, and the cache keeps a leaf with marks: `takeNumber` reads nothing.
final class NodeTable {
  /// The kind of the nodes in it, and the kind of its own blocks.
  let nodeKind: OwnerKind
  let blockKind: OwnerKind
  /// The root with the limit of numbers, the search cursor and the count of numbers in use, as of now.
  private(set) var root = TableRoot()
  /// Free numbers, already marked as allocated, for operations to take; the last is taken first.
  private var pool: [UInt64] = []
  /// Numbers given up, whose entries are cleared when no checkpoint is between its cut and its tables.
  private(set) var pendingFrees: [UInt64] = []
  private var freed: Set<UInt64> = []
  /// The search for a free number has gone back to the beginning.
  private var hasTurnedBack = false

  init(nodeKind: OwnerKind, blockKind: OwnerKind) {
    self.nodeKind = nodeKind
    self.blockKind = blockKind
  }

  /// Gives up a number: its node is not found from now on; its entry is cleared later.
  func giveUp(_ number: UInt64) {
    // A damaged filesystem may refer to a number that was never allocated, or twice to the same.
    guard (firstNumber..<max(firstNumber, root.limit)).contains(number), freed.insert(number).inserted else {
      return
    }
    pendingFrees.append(number)
  }

  /// The entry of the number given up last has been cleared.
  func clearedLast() {
    if let number = pendingFrees.popLast() { freed.remove(number) }
  }

  /// Whether a number was given up and its entry not yet cleared.
  func isGivenUp(_ number: UInt64) -> Bool { !freed.isEmpty && freed.contains(number) }

  /// The lowest number that may be allocated.
  var firstNumber: UInt64 { nodeKind == .inode ? 3 : 1 }

  // MARK: The root

  /// Takes over the root from a checkpoint.
  func load(_ root: TableRoot) { self.root = root }

  /// The root block was written.
  func setRoot(address: UInt64, checksum: UInt32) {
    root.address = address
    root.checksum = checksum
  }

  /// A new root block has been made above the old one.
  func grow() {
    root.height += 1
    root.address = 0
    root.checksum = 0
  }

  // MARK: Numbers

  var poolCount: Int { pool.count }

  /// Whether a number can be that of a node.
  func has(_ number: UInt64) -> Bool { number >= firstNumber && number < root.limit }

  /// Adds a free number that has been marked as allocated.
  func addToPool(_ number: UInt64) { pool.insert(number, at: 0) }

  /// The number that `takeNumber` gives next; 0 when the pool is empty.
  var nextInPool: UInt64 { pool.last ?? 0 }

  /// Takes a number out of the pool; nil when it is empty.
  func takeFromPool() -> UInt64? {
    guard let number = pool.popLast() else { return nil }
    root.used += 1
    return number
  }

  /// Recovery: counts a number in use that a record gives to a node.
  func claim(_ number: UInt64) {
    root.limit = max(root.limit, number + 1)
    root.used += 1
  }

  /// The entry of a number was cleared.
  /// - Returns: false when more numbers are cleared than were in use.
  func release() -> Bool {
    guard root.used > 0 else { return false }
    root.used -= 1
    return true
  }

  /// The search for a free number goes on at `number`.
  func moveCursor(to number: UInt64) { root.cursor = number }

  /// A free number was found, or the table has grown: the search may turn back again later.
  func endSearch(at number: UInt64) {
    hasTurnedBack = false
    root.cursor = number
  }

  /// At the end of the table: turns the search back to the beginning, once, and only if more than a quarter
  /// of the numbers are free, so that the search stays short.
  func turnBack() -> Bool {
    let unused = root.limit - min(root.used, root.limit)
    guard !hasTurnedBack, unused > max(256, root.limit / 4) else { return false }
    hasTurnedBack = true
    root.cursor = firstNumber
    return true
  }

  /// Adds a number to the table.
  func extend(to limit: UInt64) { root.limit = limit }

  func checkInvariants(_ invariants: inout Invariants) {
    invariants.expect("\(nodeKind)s given up", pendingFrees.count, equals: freed.count)
    invariants.expect(
      root.used <= max(root.limit, 1), "\(root.used) \(nodeKind)s are in use of \(root.limit)")
    invariants.expect("numbers of \(nodeKind)s found free", Set(pool).count, equals: pool.count)
    invariants.expect(
      pool.allSatisfy { $0 >= firstNumber && $0 < root.limit },
      "a number of \(nodeKind)s lies outside of the table")
  }
}

extension NodeStore {
  // MARK: Blocks of a table

  /// The block at `level` and `index` of a table, nil where the table has none.
  func tableBlock(_ table: NodeTable, level: Int, index: UInt64) throws(Stop) -> Page? {
    let key = NodeKey(table: table.blockKind, level: level, index: index)
    if let page = try loader.cached(key) { return page }
    let height = Int(table.root.height)
    guard level < height else { return nil }
    if level == height - 1 {
      guard index == 0, table.root.address != 0 else { return nil }
      return try loader.load(key, address: table.root.address, checksum: table.root.checksum)
    }
    guard let parent = try tableBlock(table, level: level + 1, index: index >> 8) else { return nil }
    let entry = Entry(parent, at: Int(index & 255) * Entry.size)
    guard entry.address != 0 else { return nil }
    return try loader.load(key, address: entry.address, checksum: entry.checksum)
  }

  /// The entry of a node number; an empty one where there is none, or where the number was given up.
  func tableEntry(_ table: NodeTable, _ number: UInt64) throws(Stop) -> Entry {
    guard number < table.root.limit, !table.isGivenUp(number),
      let leaf = try tableBlock(table, level: 0, index: number >> 8)
    else { return Entry() }
    return Entry(leaf, at: Int(number & 255) * Entry.size)
  }

  /// The leaf for a number. The leaf and all blocks above it are created where missing and made dirty, so
  /// that they stay in memory until a checkpoint has written them.
  func dirtyTablePath(_ table: NodeTable, _ number: UInt64) throws(Stop) -> Page {
    while number >> (8 * UInt64(table.root.height)) != 0 { try growTable(table) }
    var pages: [Page] = []
    for level in (0..<Int(table.root.height)).reversed() {
      let index = number >> (8 * UInt64(level + 1))
      if let page = try tableBlock(table, level: level, index: index) {
        pages.append(page)
      } else {
        let page = try makeNode(NodeKey(table: table.blockKind, level: level, index: index))
        countNewTableBlock()
        modify(page)
        pages.append(page)
      }
    }
    for page in pages { modify(page) }
    guard let leaf = pages.last else { throw .fail(EIO) }
    return leaf
  }

  /// Adds a new root above the old one.
  private func growTable(_ table: NodeTable) throws(Stop) {
    let height = Int(table.root.height)
    let old = try tableBlock(table, level: height - 1, index: 0)
    let page = try makeNode(NodeKey(table: table.blockKind, level: height, index: 0))
    countNewTableBlock()
    if old != nil {
      Entry(address: table.root.address, checksum: table.root.checksum).store(page, at: 0)
    }
    if let old { modify(old) }
    modify(page)
    table.grow()
  }

  // MARK: Numbers

  /// Numbers that the pool is filled up to.
  private static let poolSize = 64
  /// Leaves without a free number that one filling searches at most. After that the table grows instead, and
  /// a later search goes on from there.
  private static let leavesSearched = 32

  /// Fills the pool if it holds fewer than `count` numbers, and marks the added ones as allocated.
  func fillPool(_ table: NodeTable, _ count: Int) throws(Stop) {
    guard table.poolCount < count else { return }
    var leavesLeft = Self.leavesSearched
    while table.poolCount < Self.poolSize {
      let number = try findFree(table, &leavesLeft)
      markAllocated(try dirtyTablePath(table, number), number)
      table.addToPool(number)
    }
  }

  /// A number that is not in use: the next free one from the cursor on. At the end of the table the search
  /// turns back, or the table grows.
  private func findFree(_ table: NodeTable, _ leavesLeft: inout Int) throws(Stop) -> UInt64 {
    while true {
      let number = max(table.root.cursor, table.firstNumber)
      let isAtEnd = number >= table.root.limit
      if !isAtEnd, leavesLeft > 0 {
        var found: UInt64?
        do throws(Stop) {
          found = try freeNumber(table, from: number)
          if let found { _ = try dirtyTablePath(table, found) }
        } catch .fail {
          // Skip a damaged leaf: which of its numbers are free is unknown.
          found = nil
        }
        if let found {
          table.endSearch(at: found + 1)
          return found
        }
        table.moveCursor(to: min((number | 255) + 1, table.root.limit))
        leavesLeft -= 1
        continue
      }
      if isAtEnd, table.turnBack() { continue }
      guard table.root.limit < NodeID.maximumNumber else { throw .fail(ENOSPC) }
      let fresh = max(table.root.limit, table.firstNumber)
      _ = try dirtyTablePath(table, fresh)
      table.extend(to: fresh + 1)
      if isAtEnd { table.endSearch(at: fresh + 1) }
      return fresh
    }
  }

  /// A free number in the leaf of `first`, not below `first`. The leaf is not made dirty.
  private func freeNumber(_ table: NodeTable, from first: UInt64) throws(Stop) -> UInt64? {
    guard let leaf = try tableBlock(table, level: 0, index: first >> 8) else { return first }
    return freeNumber(in: leaf, from: first, limit: table.root.limit)
  }

  private func freeNumber(in leaf: Page, from first: UInt64, limit: UInt64) -> UInt64? {
    event.count(Entry.perBlock * Work.entry)
    for number in first..<min((first | 255) + 1, limit) {
      let entry = Entry(leaf, at: Int(number & 255) * Entry.size)
      if entry.address == 0, entry.flags & Entry.allocated == 0, entry.stamp < NodeID.maximumGeneration {
        return number
      }
    }
    return nil
  }

  /// Takes a number out of the pool, which `fillPool` has filled, for a new node, and increments the
  /// generation of an inode number.
  func takeNumber(_ table: NodeTable) -> NodeID {
    guard let number = table.takeFromPool() else { return NodeID(raw: 0) }
    countNewNode()
    let frame = cache.find(NodeKey(table: table.blockKind, level: 0, index: number >> 8))
    guard table.nodeKind == .inode, frame != .none else { return NodeID(number: number, generation: 0) }
    let leaf = cache.page(frame)
    modify(leaf)
    var entry = Entry(leaf, at: Int(number & 255) * Entry.size)
    entry.stamp = min(entry.stamp, NodeID.maximumGeneration - 1) + 1
    entry.store(leaf, at: Int(number & 255) * Entry.size)
    return NodeID(number: number, generation: entry.stamp)
  }

  /// Recovery: makes sure that the number of `id` can be given to a new node.
  func prepareClaim(_ table: NodeTable, _ id: NodeID) throws(Stop) {
    let leaf = try dirtyTablePath(table, id.number)
    let entry = Entry(leaf, at: Int(id.number & 255) * Entry.size)
    guard entry.address == 0, entry.flags & Entry.allocated == 0, id.number < NodeID.maximumNumber else {
      throw .fail(EIO)
    }
  }

  /// Recovery: gives a number to a new node, as a record says. The caller has called `prepareClaim`.
  func claimNumber(_ table: NodeTable, _ id: NodeID) throws(Stop) {
    let leaf = try dirtyTablePath(table, id.number)
    markAllocated(leaf, id.number)
    let offset = Int(id.number & 255) * Entry.size
    Entry(flags: Entry.allocated, stamp: id.generation).store(leaf, at: offset)
    table.claim(id.number)
    countNewNode()
  }

  /// Clears the entries of numbers given up, as many as one event has time for. An entry that cannot be read
  /// stays as it is, for fsck.varve.
  func processFrees(_ table: NodeTable) throws(Stop) {
    while let number = table.pendingFrees.last, !event.isSpent { try processFree(table, number) }
  }

  /// Recovery: clears the entries of all numbers given up.
  func processAllFrees(_ table: NodeTable) throws(Stop) {
    while let number = table.pendingFrees.last { try processFree(table, number) }
  }

  private func processFree(_ table: NodeTable, _ number: UInt64) throws(Stop) {
    let leaf: Page
    do throws(Stop) { leaf = try dirtyTablePath(table, number) } catch .fail {
      table.clearedLast()
      errors.record(
        .checksum, "\(table.nodeKind) \(number) cannot be freed: its table is damaged; run fsck.varve",
        inode: table.nodeKind == .inode ? number : 0)
      return
    } catch .again(let reason) {
      readTables(table, of: table.pendingFrees.suffix(Waiting.readsAhead).dropLast())
      throw .again(reason)
    }
    let offset = Int(number & 255) * Entry.size
    let entry = Entry(leaf, at: offset)
    if entry.address != 0 { segments.remove(entry.address) }
    if entry.flags & Entry.allocated != 0 { forgetMark(leaf) }
    Entry(stamp: entry.stamp).store(leaf, at: offset)
    table.clearedLast()
    if !table.release() { errors.contradiction("the number of \(table.nodeKind)s in use") }
    waiting.releasePins()
  }

  /// Begins to read the table's leaves for some more numbers, so that they are read at the same time.
  private func readTables(_ table: NodeTable, of numbers: some Sequence<UInt64>) {
    // An error in one of them is met again, and handled, when its turn comes.
    for number in numbers { _ = try? tableBlock(table, level: 0, index: number >> 8) }
  }

  /// Whether entries of numbers given up are still to be cleared.
  var hasPendingFrees: Bool { !inodes.pendingFrees.isEmpty || !internals.pendingFrees.isEmpty }

  /// How many entries are still to be cleared.
  var pendingFreeCount: Int { inodes.pendingFrees.count + internals.pendingFrees.count }
}
