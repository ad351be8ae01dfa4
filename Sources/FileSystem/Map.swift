import Format

/// Where a map entry lies: in a map node, or in the inode itself.
struct MapSlot {
  let page: Page
  let offset: Int

  @inline(__always) var entry: Entry { Entry(page, at: offset) }
}

/// The map from a file's blocks to the device's.
extension FileSystem {
  /// Blocks a file can have: 256⁴.
  static let maximumFileBlocks = Inode.maximumSize >> 12
  /// New internal nodes that one write can need: a taller tree and two paths to its leaves.
  static let nodesPerWrite = 12

  /// Blocks a tree of this height covers.
  @inline(__always)
  static func reach(_ height: Int) -> UInt64 { 1 << (8 * UInt64(height)) }

  /// The first node of a file's map and the levels of nodes.
  @inline(__always)
  func tree(of inode: Inode) throws(Stop) -> (root: UInt64, height: Int) {
    let height = inode.height
    guard (1...Inode.maximumHeight).contains(height) else { throw damaged(inode.page) }
    return (inode.root, height)
  }

  /// Where the entry of block `index` lies, nil where the map has nothing that deep.
  func mapSlot(_ inode: Inode, _ index: UInt64) throws(Stop) -> MapSlot? {
    switch inode.layout {
    case .inline, .node: return nil
    case .direct:
      guard index < UInt64(Inode.directEntries) else { return nil }
      return MapSlot(page: inode.page, offset: inode.directOffset(Int(index)))
    case .tree:
      let tree = try tree(of: inode)
      return try treeSlot(root: tree.root, height: tree.height, index)
    }
  }

  private func treeSlot(root: UInt64, height: Int, _ index: UInt64) throws(Stop) -> MapSlot? {
    guard index < Self.reach(height) else { return nil }
    if let slot = slotInLastLeaf(root: root, height: height, index) { return slot }
    var number = root
    var level = height
    while true {
      let page = try node(number, as: .map)
      level -= 1
      let offset = Int((index >> (8 * UInt64(level))) & 255) * Entry.size
      if level == 0 {
        remember(leaf: page, number: number, root: root, height: height, index)
        return MapSlot(page: page, offset: offset)
      }
      number = Entry(page, at: offset).address
      if number == 0 { return nil }
    }
  }

  /// The entry of block `index`; a hole where the map has none.
  func mapEntry(_ inode: Inode, _ index: UInt64) throws(Stop) -> Entry {
    guard let slot = try mapSlot(inode, index) else { return Entry() }
    let entry = slot.entry
    guard entry.address == 0 || geometry.segment(of: entry.address) != nil else { throw .fail(Code.io) }
    return entry
  }

  /// Loads everything on the way to the blocks of `range`, so that `makeMapSlot` finds it.
  func prepareMap(_ inode: Inode, _ range: Range<UInt64>) throws(Stop) {
    guard range.upperBound <= Self.maximumFileBlocks else { throw .fail(Code.fileTooBig) }
    guard inode.layout == .tree, !range.isEmpty else { return }
    var index = range.lowerBound
    while index < range.upperBound {
      _ = try mapSlot(inode, index)
      index = (index | 255) + 1
    }
  }

  /// Where the entry of block `index` lies; what is missing on the way is made. The inode is not inline. `prepareMap`
  /// and `prepareNodes` came before.
  func makeMapSlot(_ inode: Inode, _ index: UInt64) throws(Stop) -> MapSlot {
    guard index < Self.maximumFileBlocks else { throw .fail(Code.io) }
    if inode.layout == .direct {
      if index < UInt64(Inode.directEntries) {
        return MapSlot(page: inode.page, offset: inode.directOffset(Int(index)))
      }
      try growDirectToTree(inode)
    }
    var (root, height) = try tree(of: inode)
    while index >= Self.reach(height) { (root, height) = try growTree(inode, root, height) }
    if let slot = slotInLastLeaf(root: root, height: height, index) { return slot }
    var number = root
    var level = height
    while true {
      let page = try node(number, as: .map)
      level -= 1
      let offset = Int((index >> (8 * UInt64(level))) & 255) * Entry.size
      if level == 0 {
        remember(leaf: page, number: number, root: root, height: height, index)
        return MapSlot(page: page, offset: offset)
      }
      number = Entry(page, at: offset).address
      if number == 0 {
        number = try newMapNode().number
        modify(page)
        Entry(address: number).store(page, at: offset)
      }
    }
  }

  func newMapNode() throws(Stop) -> (number: UInt64, page: Page) {
    let fresh = try newNode()
    cache.frames[Int(cache.frame(of: fresh.page))].role = .map
    return fresh
  }

  /// The direct entries move into a first map node.
  private func growDirectToTree(_ inode: Inode) throws(Stop) {
    let fresh = try newMapNode()
    modify(inode.page)
    let size = Inode.directEntries * Entry.size
    fresh.page.copy(inode.page.bytes(at: Inode.inlineStart, count: size), at: 0)
    inode.page.clear(at: Inode.inlineStart, count: size)
    inode.layout = .tree
    inode.height = 1
    inode.root = fresh.number
    inode.inlineLength = 0
  }

  /// A new root above the old one.
  private func growTree(_ inode: Inode, _ root: UInt64, _ height: Int) throws(Stop) -> (UInt64, Int) {
    let fresh = try newMapNode()
    modify(inode.page)
    Entry(address: root).store(fresh.page, at: 0)
    inode.root = fresh.number
    inode.height = height + 1
    return (fresh.number, height + 1)
  }

  /// A file whose bytes lie in the inode gets a map; the bytes become a dirty page that must reach the log together
  /// with the record that made this necessary. `prepareNodes` came before.
  func makeMapped(_ inode: Inode) throws(Stop) {
    guard inode.layout == .inline else { return }
    modify(inode.page)
    let length = inode.inlineLength
    if length > 0 {
      let frame = try makeDataPage(inode, 0)
      let page = cache.page(frame)
      page.copy(inode.page.bytes(at: Inode.inlineStart, count: length), at: 0)
      page.clear(at: length)
      urgentPages.append(PageName(inode: inode.number, index: 0))
    }
    // All of it: bytes behind the contents would be taken for entries.
    inode.page.clear(at: Inode.inlineStart, count: inode.inlineRoom)
    let size = Inode.directEntries * Entry.size
    if size <= inode.inlineRoom {
      inode.layout = .direct
      inode.inlineLength = size
    } else {
      inode.layout = .tree
      inode.height = 1
      inode.inlineLength = 0
      inode.root = try newMapNode().number
    }
    guard length > 0 else { return }
    place(dataFrame(inode.number, 0), of: inode, at: try makeMapSlot(inode, 0))
  }

  /// A page became dirty: the block with its map entry is dirty from now on, so that it is in memory when the page is written. Over
  /// a hole the page takes space, so that writing it out cannot fail.
  func place(_ frame: FrameIndex, of inode: Inode, at slot: MapSlot) {
    modify(slot.page)
    cache.frames[Int(frame)].leaf = cache.frames[Int(cache.frame(of: slot.page))].key
    guard slot.entry.isHole, !cache.frames[Int(frame)].isCharged else { return }
    cache.frames[Int(frame)].isCharged = true
    chargedPages += 1
    modify(inode.page)
    inode.blocks &+= 1
  }

  /// Points block `index` at a new place on the device.
  func setMapEntry(_ inode: Inode, _ index: UInt64, to address: UInt64, checksum: UInt32) throws(Stop) {
    setMapEntry(try makeMapSlot(inode, index), to: address, checksum: checksum)
  }

  func setMapEntry(_ slot: MapSlot, to address: UInt64, checksum: UInt32) {
    let old = slot.entry
    modify(slot.page)
    Entry(address: address, checksum: checksum, stamp: UInt32(truncatingIfNeeded: checkpoint.age)).store(
      slot.page, at: slot.offset)
    usage.add(address)
    if old.address != 0 {
      usage.remove(old.address)
    } else if old.isReserved {
      reservedBlocks -= min(1, reservedBlocks)
    }
  }

  /// Forgets what a map entry holds, a block or a promise. The caller clears the entry.
  func releaseEntry(_ entry: Entry, of inode: Inode) {
    guard !entry.isHole else { return }
    if entry.address != 0 { usage.remove(entry.address) } else { reservedBlocks -= min(1, reservedBlocks) }
    inode.loseBlock()
  }
}
