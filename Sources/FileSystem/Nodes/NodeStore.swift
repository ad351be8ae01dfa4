import FileProtocol
import Format
import Glibc

/// Nodes by number: inodes, and the internal nodes of maps, directories and attributes, found through two
/// tables.
///
/// Owns the two tables (`NodeTable`: numbers allocated and freed), the lists of changed nodes by their state
/// (`NodeState`, whose diagram is in FrameInfo.swift), and, for a checkpoint, the frozen nodes, the table
/// blocks and the roots as of the cut. It promises that a node is checked once before it is used; that a node
/// of the checkpoint under way is written as it was at the cut before it changes (`modify`); and that the
/// table blocks above all nodes of a checkpoint are in memory and dirty when it writes them (`holdTables`).
final class NodeStore {
  let cache: Cache
  let event: Event
  let waiting: Waiting
  let volume: Volume
  let errors: Errors
  let segments: SegmentTable
  let loader: Loader
  let log: NodeLog
  let inodes = NodeTable(nodeKind: .inode, blockKind: .inodeTable)
  let internals = NodeTable(nodeKind: .internalNode, blockKind: .internalTable)

  private var lastInode = InodeMemo()
  private var inodeReadAhead = InodeReadAhead()
  /// Nodes and table blocks changed since the last cut: those above which the table block is dirty, and the
  /// others.
  private var held = FrameList()
  private var loose = FrameList()
  /// Nodes that the checkpoint under way still has to write.
  private var frozen = FrameList()
  /// The table blocks that the checkpoint under way writes, lowest level first, and the index of the first
  /// that is still to be written.
  private var tablesAtCut: [FrameIndex] = []
  private var tableCursor = 0
  /// The tables' roots as of the cut; their addresses are known once the tables have been written.
  private(set) var inodesAtCut = TableRoot()
  private(set) var internalsAtCut = TableRoot()
  /// Nodes that have a number but no address yet, and table blocks without an address; both count as used
  /// space.
  private(set) var newNodes = 0
  private(set) var newTableBlocks = 0
  /// When the oldest change was made that no checkpoint includes; 0 for none. Nanoseconds, monotonic.
  private(set) var oldestChange: UInt64 = 0
  /// Nodes freed so far. A remembered location of a node is valid until this number changes.
  private(set) var freedNodes: UInt64 = 0

  init(
    cache: Cache, event: Event, waiting: Waiting, volume: Volume, errors: Errors, segments: SegmentTable,
    loader: Loader, log: NodeLog
  ) {
    self.cache = cache
    self.event = event
    self.waiting = waiting
    self.volume = volume
    self.errors = errors
    self.segments = segments
    self.loader = loader
    self.log = log
  }

  /// Nodes changed since the last cut.
  var dirtyCount: Int { held.count + loose.count }
  /// Of these, the loose ones, whose table blocks may still have to be read and dirtied.
  var looseCount: Int { loose.count }
  /// Nodes that the checkpoint under way still has to write.
  var frozenCount: Int { frozen.count }

  // MARK: Finding

  /// The table for nodes of this kind.
  private func table(of kind: OwnerKind) -> NodeTable { kind == .inode ? inodes : internals }

  /// The inode with this number.
  /// - Throws: `again` while it is read; `ESTALE` when there is none, `EIO` when it is damaged.
  func inode(_ number: UInt64) throws(Stop) -> Inode {
    let key = NodeKey(.inode, number)
    if key == lastInode.key, cache.holds(lastInode.frame, key) {
      cache.touch(lastInode.frame)
      return Inode(cache.page(lastInode.frame), number: number)
    }
    if let page = try loader.cached(key) {
      let frame = cache.frame(of: page)
      if cache[frame].role == .unchecked {
        guard Inode(page).isValid(number: number) else { throw loader.damaged(page) }
        cache.setRole(frame, .map)
      }
      lastInode = InodeMemo(key: key, frame: frame)
      return Inode(page, number: number)
    }
    let entry = try tableEntry(inodes, number)
    guard entry.address != 0 else { throw .fail(ESTALE) }
    return Inode(try loader.load(key, address: entry.address, checksum: entry.checksum), number: number)
  }

  /// The inode with this number and generation.
  func inode(_ id: NodeID) throws(Stop) -> Inode {
    let inode = try inode(id.number)
    guard inode.generation == id.generation else { throw .fail(ESTALE) }
    return inode
  }

  /// The inode that a FUSE node id names.
  @inline(__always)
  func inode(id raw: UInt64) throws(Stop) -> Inode { try inode(NodeID(raw: raw)) }

  /// Read-ahead for an inode that is not in memory: it is read together with its neighbours, where others of
  /// them were read lately. Does nothing for one in memory.
  func readAhead(inode number: UInt64) throws(Stop) {
    guard cache.find(NodeKey(.inode, number)) == .none else { return }
    // In memory for all of them then: they have one table block.
    guard try tableEntry(inodes, number).address != 0 else { return }
    for neighbour in inodeReadAhead.missed(number) where inodes.has(neighbour) {
      guard cache.find(NodeKey(.inode, neighbour)) == .none else { continue }
      // An error in one of them is met again, and handled, when it is asked for.
      _ = try? inode(neighbour)
    }
    guard !waiting.isMissing else { throw .again(.read) }
  }

  /// Whether an inode is in memory or being read.
  func isInMemory(_ id: NodeID) -> Bool { cache.find(NodeKey(.inode, id.number)) != .none }

  /// The inode with this number if it is in memory.
  func inodeInMemory(_ number: UInt64) -> Inode? {
    let frame = cache.find(NodeKey(.inode, number))
    guard frame != .none, cache[frame].isReady else { return nil }
    return Inode(cache.page(frame), number: number)
  }

  /// The internal node with this number, checked to be valid for `role`.
  func node(_ number: UInt64, as role: NodeRole) throws(Stop) -> Page {
    let key = NodeKey(.internalNode, number)
    if let page = try loader.cached(key) {
      let frame = cache.frame(of: page)
      if cache[frame].role != role {
        guard isValid(page, as: role) else { throw loader.damaged(page) }
        cache.setRole(frame, role)
      }
      return page
    }
    let entry = try tableEntry(internals, number)
    guard entry.address != 0 else { throw .fail(EIO) }
    return try loader.load(key, address: entry.address, checksum: entry.checksum)
  }

  private func isValid(_ page: Page, as role: NodeRole) -> Bool {
    switch role {
    case .directoryLeaf: DirectoryLeaf(page).isValid
    case .directoryIndex: DirectoryIndex(page).isValid
    case .attributes: AttributeNode(page).isValid
    case .attributeValue: AttributeValueNode(page).isValid
    case .map, .symlink, .unchecked: true
    }
  }

  /// Read-ahead for a walk through a tree that goes on with the child in slot `first` of a map node: when
  /// that child is not in memory, it is read together with the children after it, or before it.
  func readAhead(_ page: Page, from first: Int, isForward: Bool) throws(Stop) {
    let child = Entry(page, at: first * Entry.size).address
    guard cache.find(NodeKey(.internalNode, child)) == .none else { return }
    var left = Waiting.readsAhead
    var slot = first
    while left > 0, (0..<Entry.perBlock).contains(slot) {
      let number = Entry(page, at: slot * Entry.size).address
      slot += isForward ? 1 : -1
      guard number != 0 else { continue }
      left -= 1
      // An error in one of them is met again, and handled, when its turn comes.
      _ = try? node(number, as: .map)
    }
    guard !waiting.isMissing else { throw .again(.read) }
  }

  // MARK: Changing

  /// To be called before every change of a node: makes it dirty, and first writes it as it is if it is
  /// frozen.
  @inline(__always)
  func modify(_ page: Page) {
    let frame = cache.frame(of: page)
    switch cache[frame].state {
    case .node(.clean): becomeLoose(frame)
    case .node(.frozen):
      writeFrozen(frame)
      becomeLoose(frame)
    // Loose or held: it is dirty already. Any other state: in a damaged tree the node may have been freed as
    // its own descendant, and the frame hold something else.
    default: break
    }
  }

  private func becomeLoose(_ frame: FrameIndex) {
    cache.setNode(frame, .loose)
    cache.append(frame, to: &loose)
    if oldestChange == 0 { oldestChange = max(event.now.monotonic, 1) }
  }

  /// A cleared block in memory for a new node. It is not dirty before `modify`.
  func makeNode(_ key: NodeKey) throws(Stop) -> Page {
    // The number is in use although the table, which a device has changed in memory, has it as free.
    guard cache.find(key) == .none else { throw .fail(EIO) }
    let frame = cache.insert(key)
    guard frame != .none else { throw .again(.memory) }
    let page = cache.page(frame)
    page.clear()
    return page
  }

  /// Makes sure that the running operation can take `count` new internal nodes.
  func prepareNodes(_ count: Int) throws(Stop) {
    if internals.poolCount < count { try fillPool(internals, count) }
  }

  /// A new internal node of some role. The caller has called `prepareNodes`.
  func newNode(as role: NodeRole = .unchecked) throws(Stop) -> (number: UInt64, page: Page) {
    let number = takeNumber(internals).number
    guard number != 0 else { throw .fail(EIO) }
    let page = try makeNode(NodeKey(.internalNode, number))
    modify(page)
    cache.setRole(cache.frame(of: page), role)
    return (number, page)
  }

  /// The block of a new inode, whose number the caller has taken or claimed.
  func newInode(_ number: UInt64) throws(Stop) -> Page {
    let page = try makeNode(NodeKey(.inode, number))
    modify(page)
    cache.setRole(cache.frame(of: page), .map)
    return page
  }

  /// Frees a node: its frame at once, its number and its block later (`processFrees`).
  func freeNode(_ kind: OwnerKind, _ number: UInt64) {
    freedNodes &+= 1
    let frame = cache.find(NodeKey(kind, number))
    if frame != .none { discardNode(frame) }
    table(of: kind).giveUp(number)
  }

  private func discardNode(_ frame: FrameIndex) {
    switch cache[frame].state {
    case .loading: return cache.detach(frame)
    case .node(.frozen): writeFrozen(frame)
    case .node(.loose), .node(.held): makeClean(frame)
    default: break
    }
    waiting.unpinEverywhere(frame)
    cache.drop(frame)
  }

  /// Removes a node or table block from its list of dirty ones, because it is written or freed.
  private func makeClean(_ frame: FrameIndex) {
    if cache[frame].state == .node(.held) {
      cache.remove(frame, from: &held)
    } else {
      cache.remove(frame, from: &loose)
    }
    cache.setNode(frame, .clean)
  }

  // MARK: The cut

  /// Prepares a cut: reads and dirties the table blocks above loose nodes, as many as one event has time for,
  /// so that they are in memory when the nodes get their new addresses.
  func holdTables() throws(Stop) {
    var missing = 0
    var isFurther = false
    var frame = loose.first
    while frame != .none, missing < Waiting.readsAhead, !event.isSpent {
      let node = frame
      event.count(Work.frame)
      do throws(Stop) {
        try holdTable(above: cache[node].key)
        // Read after holdTable, which may have appended table blocks to the list.
        frame = cache[node].next
        cache.remove(node, from: &loose)
        cache.setNode(node, .held)
        cache.append(node, to: &held)
        isFurther = true
      } catch .again {
        // Go on, so that all missing blocks are read at the same time.
        missing += 1
        frame = cache[node].next
      }
    }
    if isFurther { waiting.releasePins() }
    guard missing == 0 else { throw .again(.read) }
  }

  /// Dirties the table block above a dirty node or table block. It may be clean although the block below it
  /// is dirty, if the last checkpoint wrote it after the block below had been changed again.
  private func holdTable(above key: NodeKey) throws(Stop) {
    let isInodes = key.kind == .inode || key.kind == .inodeTable
    let table = isInodes ? inodes : internals
    let isNode = key.kind == .inode || key.kind == .internalNode
    let level = isNode ? 0 : key.level + 1
    guard level < Int(table.root.height) else { return }
    let above = cache.find(NodeKey(table: table.blockKind, level: level, index: key.number >> 8))
    if above != .none, cache[above].isDirty { return }
    _ = try dirtyTablePath(table, isNode ? key.number : key.number << (8 * UInt64(level)))
  }

  /// The cut: freezes all dirty nodes, and lists the dirty table blocks to be written after them.
  func cut() {
    assert(loose.count == 0 && frozen.count == 0)
    oldestChange = 0
    inodesAtCut = inodes.root
    internalsAtCut = internals.root
    tablesAtCut.removeAll(keepingCapacity: true)
    tableCursor = 0
    var frame = held.first
    while frame != .none {
      let next = cache[frame].next
      switch cache[frame].key.kind {
      case .inode, .internalNode:
        cache.remove(frame, from: &held)
        cache.setNode(frame, .frozen)
        cache.append(frame, to: &frozen)
      default: tablesAtCut.append(frame)
      }
      frame = next
    }
    tablesAtCut.sort { cache[$0].key.level < cache[$1].key.level }
  }

  /// Writes some of the nodes of the checkpoint under way.
  /// - Returns: whether all have been written.
  func writeFrozen(atMost count: Int) -> Bool {
    for _ in 0..<count where frozen.first != .none { writeFrozen(frozen.first) }
    return frozen.first == .none
  }

  /// Writes a frozen node, which has not changed since the cut.
  private func writeFrozen(_ frame: FrameIndex) {
    let key = cache[frame].key
    cache.remove(frame, from: &frozen)
    // Clean only at the end: a clean frame could be evicted before it has been copied.
    defer { cache.setNode(frame, .clean) }
    let table = table(of: key.kind)
    let leafKey = NodeKey(table: table.blockKind, level: 0, index: key.number >> 8)
    let leafFrame = cache.find(leafKey)
    guard cache.holds(leafFrame, leafKey) else {
      return errors.fail("a node table block is missing from memory")
    }
    let leaf = cache.page(leafFrame)
    let offset = Int(key.number & 255) * Entry.size
    var entry = Entry(leaf, at: offset)
    guard let place = log.append(cache.page(frame), OwnerRun(kind: key.kind, number: key.number)) else {
      return
    }
    segments.moveAtCut(from: entry.address, to: place.address)
    if entry.flags & Entry.allocated != 0 { forgetMark(leaf) }
    entry = Entry(address: place.address, checksum: place.checksum, stamp: entry.stamp)
    entry.store(leaf, at: offset)
  }

  /// Writes some of the tables' blocks.
  /// - Returns: whether all have been written.
  func writeTables(atMost count: Int) -> Bool {
    let end = min(tableCursor + count, tablesAtCut.count)
    for index in tableCursor..<end { writeTable(tablesAtCut[index]) }
    tableCursor = end
    guard end == tablesAtCut.count else { return false }
    log.seal()
    return true
  }

  /// Writes a table block, and enters its new address in the block above or in the root.
  private func writeTable(_ frame: FrameIndex) {
    let key = cache[frame].key
    // Clean only at the end: a clean frame could be evicted before it has been copied.
    defer { makeClean(frame) }
    let isInodes = key.kind == .inodeTable
    let table = isInodes ? inodes : internals
    let index = key.number & 0xFFFF_FFFF_FFFF
    let run = OwnerRun(kind: key.kind, number: UInt64(key.level), index: index)
    let place = log.append(cache.page(frame), run) { copy in if key.level == 0 { clearMarks(copy) } }
    guard let place else { return }
    let height = Int(isInodes ? inodesAtCut.height : internalsAtCut.height)
    let aboveKey = NodeKey(table: key.kind, level: key.level + 1, index: index >> 8)
    let above = cache.find(aboveKey)
    let isRoot = key.level == Int(table.root.height) - 1
    guard isRoot || cache.holds(above, aboveKey) else {
      return errors.fail("a node table block is missing from memory")
    }
    var old = table.root.address
    if !isRoot {
      let offset = Int(index & 255) * Entry.size
      old = Entry(cache.page(above), at: offset).address
      Entry(address: place.address, checksum: place.checksum).store(cache.page(above), at: offset)
    } else {
      table.setRoot(address: place.address, checksum: place.checksum)
    }
    segments.moveAtCut(from: old, to: place.address)
    if old == 0 { countWrittenTableBlock() }
    guard key.level == height - 1 else { return }
    if isInodes {
      inodesAtCut.address = place.address
      inodesAtCut.checksum = place.checksum
    } else {
      internalsAtCut.address = place.address
      internalsAtCut.checksum = place.checksum
    }
  }

  // MARK: Marks

  /// Clears the marks in a leaf that was read or is about to be written: on disk a number without an address
  /// is free.
  func clearMarks(_ leaf: Page) {
    for index in 0..<Entry.perBlock {
      var entry = Entry(leaf, at: index * Entry.size)
      guard entry.flags != 0 else { continue }
      entry.flags = 0
      entry.store(leaf, at: index * Entry.size)
    }
  }

  /// Marks a number as allocated. Marks exist in memory only, so the leaf stays there while it has any.
  func markAllocated(_ leaf: Page, _ number: UInt64) {
    let offset = Int(number & 255) * Entry.size
    var entry = Entry(leaf, at: offset)
    entry.flags |= Entry.allocated
    entry.store(leaf, at: offset)
    cache.addMark(cache.frame(of: leaf))
  }

  /// Counts a mark less, because its number has an address now or is free again. The count in the frame
  /// decides, not the mark in the leaf, which a device may have changed in memory.
  func forgetMark(_ leaf: Page) {
    guard cache.removeMark(cache.frame(of: leaf)) else { return }
    guard newNodes > 0 else { return errors.contradiction("the number of nodes without an address") }
    newNodes -= 1
  }

  /// A table block got its first address.
  private func countWrittenTableBlock() {
    guard newTableBlocks > 0 else {
      return errors.contradiction("the number of table blocks without an address")
    }
    newTableBlocks -= 1
  }

  /// Counts a new node, which has a number but no address yet.
  func countNewNode() { newNodes += 1 }

  /// Counts a new table block, which has no address yet.
  func countNewTableBlock() { newTableBlocks += 1 }

  // MARK: Invariants

  func checkInvariants(_ invariants: inout Invariants) {
    checkLists(&invariants)
    checkMarks(&invariants)
    invariants.expect(
      newNodes >= 0 && newTableBlocks >= 0, "nodes without an address: \(newNodes), \(newTableBlocks)")
    invariants.expect(
      loose.count == 0 || oldestChange != 0, "nodes have changed, and the oldest change has no time")
    for table in [inodes, internals] { table.checkInvariants(&invariants) }
  }

  /// Each list has all the nodes in its state, and no others.
  private func checkLists(_ invariants: inout Invariants) {
    var counts = (loose: 0, held: 0, frozen: 0)
    for frame in cache.all {
      switch cache[frame].state {
      case .node(.loose): counts.loose += 1
      case .node(.held): counts.held += 1
      case .node(.frozen): counts.frozen += 1
      default: break
      }
    }
    check(loose, .loose, counts.loose, &invariants)
    check(held, .held, counts.held, &invariants)
    check(frozen, .frozen, counts.frozen, &invariants)
  }

  private func check(_ list: FrameList, _ state: NodeState, _ count: Int, _ invariants: inout Invariants) {
    invariants.expect("\(state) nodes", count, equals: list.count)
    var strangers = 0
    cache.checkList(list, "\(state) nodes", &invariants) {
      if cache[$0].state != .node(state) { strangers += 1 }
    }
    invariants.expect("nodes in the list of \(state) ones that are in another state", strangers, equals: 0)
  }

  /// The marks of all leaves add up to the numbers in the pools and those of new nodes not yet written.
  private func checkMarks(_ invariants: inout Invariants) {
    var marks = 0
    for frame in cache.all where cache[frame].marks > 0 {
      marks += Int(cache[frame].marks)
      let key = cache[frame].key
      let isTable = key.kind == .inodeTable || key.kind == .internalTable
      invariants.expect(
        cache[frame].isReady && isTable && key.level == 0,
        "frame \(frame) has marks and is no leaf of a table")
    }
    invariants.expect(
      "numbers marked as allocated", marks, equals: newNodes + inodes.poolCount + internals.poolCount)
  }
}

/// The inode used last. It is valid while its frame still holds that inode.
struct InodeMemo {
  var key = NodeKey(raw: 0)
  var frame = FrameIndex.none
}
