import Format
import Glibc

/// Truncating files, punching holes, and freeing the detached trees.
extension FileContents {
  /// Whether setting a size that is not larger removes anything. A file of the same size may have reserved
  /// blocks past its end: truncation frees them, as in ext4 and XFS.
  func needsCut(_ inode: Inode, to size: UInt64) throws(Stop) -> Bool {
    guard size > 0, size == inode.size else { return true }
    let first = FileMap.blocks(size)
    switch inode.layout {
    case .inline, .node: return false
    case .direct:
      return (min(Int(clamping: first), Inode.directEntries)..<Inode.directEntries).contains {
        !Entry(inode.page, at: inode.directOffset($0)).isHole
      }
    case .tree: return try hasNodes(inode, from: first)
    }
  }

  /// Whether a tree has a reserved or written block, or a map node, at or after block `first`.
  private func hasNodes(_ inode: Inode, from first: UInt64) throws(Stop) -> Bool {
    let (root, height) = try map.tree(of: inode)
    guard first < FileMap.reach(height) else { return false }
    var number = root
    for level in (0..<height).reversed() where number != 0 {
      let page = try nodes.node(number, as: .map)
      let slot = Int((first >> (8 * UInt64(level))) & 255)
      let isAligned = first & (FileMap.reach(level) - 1) == 0
      let behind = (isAligned ? slot : slot + 1)..<Entry.perBlock
      if behind.contains(where: { !Entry(page, at: $0 * Entry.size).isHole }) { return true }
      guard !isAligned else { return false }
      number = Entry(page, at: slot * Entry.size).address
    }
    return false
  }

  /// Loads what `cutMap` will change, and makes sure that the inode can detach a tree.
  func prepareCut(_ inode: Inode, to blocks: UInt64) throws(Stop) {
    if condition.isReady { try pages.prepareDrop(inode, from: blocks) }
    guard inode.layout == .tree, blocks < FileMap.reach(try map.tree(of: inode).height) else { return }
    if inode.detachedRoot != 0 { try prepareAttach(inode) }
    try directories.prepareOrphan(inode.number)
    try nodes.prepareNodes(FileMap.nodesPerWrite)
    if blocks > 0 { _ = try map.mapSlot(inode, blocks) }
  }

  /// Makes sure that the inode can take one more detached tree.
  private func prepareAttach(_ inode: Inode) throws(Stop) {
    guard !free.isDamaged(inode.number) else { throw .fail(EIO) }
    let (root, height) = try detachedTree(of: inode)
    guard height == Inode.forestHeight else { return }
    let forest = try nodes.node(root, as: .map)
    guard !Entry(forest, at: (Entry.perBlock - 1) * Entry.size).isHole else { return }
    guard condition.isReady else { return try freeDetached(inode) }
    free.add(inode.number)
    throw .again(.freeing)
  }

  /// Truncates a file's map to `blocks` blocks. A tree's tail is detached, to be freed in the background.
  func cutMap(_ inode: Inode, to blocks: UInt64) throws(Stop) {
    pages.dropPages(inode, blocks..<UInt64.max)
    switch inode.layout {
    case .inline, .node: return
    case .direct:
      nodes.modify(inode.page)
      for index in min(Int(clamping: blocks), Inode.directEntries)..<Inode.directEntries {
        map.releaseEntry(Entry(inode.page, at: inode.directOffset(index)), of: inode)
        Entry().store(inode.page, at: inode.directOffset(index))
      }
      if blocks == 0 { makeInline(inode) }
    case .tree:
      let (root, height) = try map.tree(of: inode)
      guard blocks < FileMap.reach(height) else { return }
      map.forgetLeaf()
      nodes.modify(inode.page)
      if blocks == 0 {
        try attach(root, height, to: inode)
        makeInline(inode)
      } else {
        let tail = try detachTail(root: root, height: height, from: blocks)
        guard tail != 0 else { return }
        try attach(tail, height, to: inode)
      }
      try directories.insertOrphan(inode.number)
      free.add(inode.number)
    }
  }

  /// Makes a tree the inode's detached tree, to be freed. Where the inode has one already, both become
  /// children of a further node, the forest; all trees in a forest have the greatest height.
  private func attach(_ root: UInt64, _ height: Int, to inode: Inode) throws(Stop) {
    guard inode.detachedRoot != 0 else {
      inode.detachedRoot = root
      inode.detachedHeight = height
      return
    }
    let former = try detachedTree(of: inode)
    var number = former.root
    if former.height < Inode.forestHeight {
      let first = try raised(former.root, from: former.height)
      let forest = try map.newMapNode()
      Entry(address: first).store(forest.page, at: 0)
      number = forest.number
      inode.detachedRoot = number
      inode.detachedHeight = Inode.forestHeight
    }
    let forest = try nodes.node(number, as: .map)
    let last = (0..<Entry.perBlock).last { !Entry(forest, at: $0 * Entry.size).isHole }
    let slot = (last ?? -1) + 1
    guard slot < Entry.perBlock else { throw .fail(EIO) }
    nodes.modify(forest)
    Entry(address: try raised(root, from: height)).store(forest, at: slot * Entry.size)
  }

  /// Adds nodes above a tree until it has the greatest height.
  private func raised(_ root: UInt64, from height: Int) throws(Stop) -> UInt64 {
    var number = root
    for _ in height..<Inode.forestHeight - 1 {
      let above = try map.newMapNode()
      Entry(address: number).store(above.page, at: 0)
      number = above.number
    }
    return number
  }

  private func makeInline(_ inode: Inode) {
    inode.page.clear(at: Inode.inlineStart, count: inode.inlineRoom)
    inode.layout = .inline
    inode.inlineLength = 0
    inode.height = 0
    inode.root = 0
  }

  /// Moves all blocks from `first` on into a separate tree of the same height.
  /// - Returns: its root, 0 when nothing was there.
  private func detachTail(root: UInt64, height: Int, from first: UInt64) throws(Stop) -> UInt64 {
    var number = root
    var level = height
    var detached: UInt64 = 0
    var above: (page: Page, offset: Int)?
    while number != 0, level > 0 {
      let page = try nodes.node(number, as: .map)
      level -= 1
      let slot = Int((first >> (8 * UInt64(level))) & 255)
      let isAligned = level == 0 || first & (FileMap.reach(level) - 1) == 0
      let fresh = try map.newMapNode()
      nodes.modify(page)
      let start = (isAligned ? slot : slot + 1) * Entry.size
      fresh.page.copy(page.bytes(at: start, count: Page.size - start), at: start)
      page.clear(at: start)
      if let above {
        Entry(address: fresh.number).store(above.page, at: above.offset)
      } else {
        detached = fresh.number
      }
      if isAligned { break }
      above = (fresh.page, slot * Entry.size)
      number = Entry(page, at: slot * Entry.size).address
    }
    return detached
  }

  /// Punches the blocks `range` of a file: releases their map entries and drops their cached pages. Returns
  /// after at most one lowest map node, so that a long punch can be done in steps.
  /// - Returns: the first block not yet punched.
  func punchStep(_ inode: Inode, _ range: Range<UInt64>) throws(Stop) -> UInt64 {
    let end = min(range.upperBound, (range.lowerBound | 255) + 1)
    pages.dropPages(inode, range.lowerBound..<end)
    for index in range.lowerBound..<end {
      guard let slot = try map.mapSlot(inode, index) else { break }
      let entry = slot.entry
      guard !entry.isHole else { continue }
      nodes.modify(inode.page)
      nodes.modify(slot.page)
      map.releaseEntry(entry, of: inode)
      Entry().store(slot.page, at: slot.offset)
    }
    return end
  }

  // MARK: Freeing detached trees

  /// The root of a file's detached tree, and its height in levels of nodes.
  private func detachedTree(of inode: Inode) throws(Stop) -> (root: UInt64, height: Int) {
    let height = inode.detachedHeight
    guard (1...Inode.forestHeight).contains(height) else { throw loader.damaged(inode.page) }
    return (inode.detachedRoot, height)
  }

  /// Frees all of an inode's detached tree.
  func freeDetached(_ inode: Inode) throws(Stop) {
    while inode.detachedRoot != 0 { try freeDetachedStep(inode) }
  }

  /// Frees the last lowest map node of the detached tree, or an emptied node above.
  func freeDetachedStep(_ inode: Inode) throws(Stop) {
    var (number, level) = try detachedTree(of: inode)
    var above: (page: Page, offset: Int)?
    var way: InlineArray<5, UInt64> = .init(repeating: 0)
    while true {
      // A tree that leads back to itself could never be freed.
      guard !way.indices.contains(where: { way[$0] == number }) else { throw .fail(EIO) }
      let page = try nodes.node(number, as: .map)
      level -= 1
      if level == 0 {
        try freeLeaf(page, of: inode)
        break
      }
      way[level] = number
      guard let slot = (0..<Entry.perBlock).last(where: { Entry(page, at: $0 * Entry.size).address != 0 })
      else { break }
      try nodes.readAhead(page, from: slot, isForward: false)
      above = (page, slot * Entry.size)
      number = Entry(page, at: slot * Entry.size).address
    }
    nodes.freeNode(.internalNode, number)
    nodes.modify(inode.page)
    if let above {
      nodes.modify(above.page)
      Entry().store(above.page, at: above.offset)
    } else {
      inode.detachedRoot = 0
      inode.detachedHeight = 0
    }
  }

  private func freeLeaf(_ page: Page, of inode: Inode) throws(Stop) {
    // The leaf is about to be freed: a checkpoint under way must first write it as it is now.
    nodes.modify(page)
    nodes.modify(inode.page)
    event.count(Entry.perBlock * Work.entry)
    for index in 0..<Entry.perBlock {
      map.releaseEntry(Entry(page, at: index * Entry.size), of: inode)
    }
  }
}
