import Format
import Glibc

/// The map from a file's blocks to blocks of the device: lookup, growth of the tree, and changes of entries.
///
/// Owns the map entries and the count of blocks reserved by fallocate. It promises that the segment table
/// counts a data block as live exactly while a map entry refers to it. (The cleaner, which moves blocks,
/// keeps that promise itself when it changes an entry.)
final class FileMap {
  let cache: Cache
  let volume: Volume
  let errors: Errors
  let segments: SegmentTable
  let loader: Loader
  let nodes: NodeStore
  private var lastLeaf = LeafMemo()
  /// Blocks reserved by fallocate.
  private(set) var reservedBlocks: UInt64 = 0

  init(nodes: NodeStore) {
    self.nodes = nodes
    cache = nodes.cache
    volume = nodes.volume
    errors = nodes.errors
    segments = nodes.segments
    loader = nodes.loader
  }

  /// After a mount: sets the count of reserved blocks as of the checkpoint.
  func begin(reservedBlocks: UInt64) { self.reservedBlocks = reservedBlocks }

  /// Blocks a file can have: 256⁴.
  static let maximumFileBlocks = Inode.maximumSize >> 12
  /// New internal nodes that one write can need: a taller tree and two paths to its leaves.
  static let nodesPerWrite = 12

  /// 4 KiB blocks that `size` bytes take.
  @inline(__always)
  static func blocks(_ size: UInt64) -> UInt64 { (size >> 12) + (size & 4095 == 0 ? 0 : 1) }

  /// Blocks a tree of this height covers.
  @inline(__always)
  static func reach(_ height: Int) -> UInt64 { 1 << (8 * UInt64(height)) }

  /// The root of a file's map, and its height in levels of nodes.
  @inline(__always)
  func tree(of inode: Inode) throws(Stop) -> (root: UInt64, height: Int) {
    let height = inode.height
    guard (1...Inode.maximumHeight).contains(height) else { throw loader.damaged(inode.page) }
    return (inode.root, height)
  }

  /// Where the entry of block `index` lies; nil where the map has no node for it.
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
      let page = try nodes.node(number, as: .map)
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
    guard entry.address == 0 || volume.geometry.segment(of: entry.address) != nil else { throw .fail(EIO) }
    return entry
  }

  /// Loads the map nodes that lead to the blocks of `range`, so that `makeMapSlot` finds them.
  func prepareMap(_ inode: Inode, _ range: Range<UInt64>) throws(Stop) {
    guard range.upperBound <= Self.maximumFileBlocks else { throw .fail(EFBIG) }
    guard inode.layout == .tree, !range.isEmpty else { return }
    var index = range.lowerBound
    while index < range.upperBound {
      _ = try mapSlot(inode, index)
      index = (index | 255) + 1
    }
  }

  /// Where the entry of block `index` lies; missing map nodes are created. The inode is not inline. The
  /// caller has called `prepareMap` and `prepareNodes`.
  func makeMapSlot(_ inode: Inode, _ index: UInt64) throws(Stop) -> MapSlot {
    guard index < Self.maximumFileBlocks else { throw .fail(EIO) }
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
      let page = try nodes.node(number, as: .map)
      level -= 1
      let offset = Int((index >> (8 * UInt64(level))) & 255) * Entry.size
      if level == 0 {
        remember(leaf: page, number: number, root: root, height: height, index)
        return MapSlot(page: page, offset: offset)
      }
      number = Entry(page, at: offset).address
      if number == 0 {
        number = try newMapNode().number
        nodes.modify(page)
        Entry(address: number).store(page, at: offset)
      }
    }
  }

  func newMapNode() throws(Stop) -> (number: UInt64, page: Page) {
    try nodes.newNode(as: .map)
  }

  /// Moves the direct entries into a first map node.
  private func growDirectToTree(_ inode: Inode) throws(Stop) {
    let fresh = try newMapNode()
    nodes.modify(inode.page)
    let size = Inode.directEntries * Entry.size
    fresh.page.copy(inode.page.bytes(at: Inode.inlineStart, count: size), at: 0)
    inode.page.clear(at: Inode.inlineStart, count: size)
    inode.layout = .tree
    inode.height = 1
    inode.root = fresh.number
    inode.inlineLength = 0
  }

  /// Adds a new root above the old one.
  private func growTree(_ inode: Inode, _ root: UInt64, _ height: Int) throws(Stop) -> (UInt64, Int) {
    let fresh = try newMapNode()
    nodes.modify(inode.page)
    Entry(address: root).store(fresh.page, at: 0)
    inode.root = fresh.number
    inode.height = height + 1
    return (fresh.number, height + 1)
  }

  /// Sets the address of block `index`.
  func setMapEntry(_ inode: Inode, _ index: UInt64, to address: UInt64, checksum: UInt32) throws(Stop) {
    setMapEntry(try makeMapSlot(inode, index), to: address, checksum: checksum)
  }

  func setMapEntry(_ slot: MapSlot, to address: UInt64, checksum: UInt32) {
    let old = slot.entry
    nodes.modify(slot.page)
    Entry(address: address, checksum: checksum, stamp: UInt32(truncatingIfNeeded: segments.age)).store(
      slot.page, at: slot.offset)
    segments.add(address)
    if old.address != 0 {
      segments.remove(old.address)
    } else if old.isReserved {
      releaseReserved()
    }
  }

  /// Releases the block or the reservation that a map entry holds. The caller clears the entry.
  func releaseEntry(_ entry: Entry, of inode: Inode) {
    guard !entry.isHole else { return }
    if entry.address != 0 { segments.remove(entry.address) } else { releaseReserved() }
    inode.loseBlock()
  }

  /// Marks a hole as reserved.
  func reserve(_ slot: MapSlot) {
    assert(slot.entry.isHole)
    nodes.modify(slot.page)
    Entry(flags: Entry.reserved).store(slot.page, at: slot.offset)
    reservedBlocks += 1
  }

  private func releaseReserved() {
    guard reservedBlocks > 0 else { return errors.contradiction("the number of reserved blocks") }
    reservedBlocks -= 1
  }

  // MARK: The leaf used last

  /// Where the entry of block `index` lies in the lowest map node used last; nil when it does not lie there.
  @inline(__always)
  private func slotInLastLeaf(root: UInt64, height: Int, _ index: UInt64) -> MapSlot? {
    guard lastLeaf.root == root, lastLeaf.height == height, lastLeaf.blocks == index >> 8,
      lastLeaf.freedNodes == nodes.freedNodes, cache.holds(lastLeaf.frame, lastLeaf.key)
    else { return nil }
    cache.touch(lastLeaf.frame)
    return MapSlot(page: cache.page(lastLeaf.frame), offset: Int(index & 255) * Entry.size)
  }

  @inline(__always)
  private func remember(leaf page: Page, number: UInt64, root: UInt64, height: Int, _ index: UInt64) {
    lastLeaf = LeafMemo(
      root: root, height: height, blocks: index >> 8, key: NodeKey(.internalNode, number),
      frame: cache.frame(of: page), freedNodes: nodes.freedNodes)
  }

  /// Forgets the lowest map node used last, because a map node is about to leave a tree.
  func forgetLeaf() { lastLeaf = LeafMemo() }
}

/// Where a map entry lies: in a map node, or in the inode itself.
struct MapSlot {
  let page: Page
  let offset: Int

  @inline(__always) var entry: Entry { Entry(page, at: offset) }
}

/// The lowest map node used last, remembered because blocks near each other are looked up in sequence.
///
/// It is valid while its frame still holds the node, until any node is freed or a tree is detached.
private struct LeafMemo {
  var root: UInt64 = 0
  var height = 0
  /// The blocks it maps: their index without its lowest 8 bits.
  var blocks: UInt64 = 0
  var key = NodeKey(raw: 0)
  var frame = FrameIndex.none
  /// `NodeStore.freedNodes` when it was remembered.
  var freedNodes: UInt64 = 0
}
