import Format

/// Cutting files and freeing what was cut.
extension FileSystem {
  /// Whether giving a file a size that is not larger takes anything from it. One of the same size may have promised blocks
  /// behind its end: they are freed then, as by ext4 and XFS.
  func needsCut(_ inode: Inode, to size: UInt64) throws(Stop) -> Bool {
    guard size > 0, size == inode.size else { return true }
    let first = Self.blocks(size)
    switch inode.layout {
    case .inline, .node: return false
    case .direct:
      return (min(Int(clamping: first), Inode.directEntries)..<Inode.directEntries).contains {
        !Entry(inode.page, at: inode.directOffset($0)).isHole
      }
    case .tree: return try hasNodes(inode, from: first)
    }
  }

  /// Whether a tree has a promised or written block, or a map node, at or behind block `first`.
  private func hasNodes(_ inode: Inode, from first: UInt64) throws(Stop) -> Bool {
    guard first < Self.reach(inode.height) else { return false }
    var number = inode.root
    for level in (0..<inode.height).reversed() where number != 0 {
      let page = try node(number, as: .map)
      let slot = Int((first >> (8 * UInt64(level))) & 255)
      let isAligned = first & (Self.reach(level) - 1) == 0
      let behind = (isAligned ? slot : slot + 1)..<Entry.perBlock
      if behind.contains(where: { !Entry(page, at: $0 * Entry.size).isHole }) { return true }
      guard !isAligned else { return false }
      number = Entry(page, at: slot * Entry.size).address
    }
    return false
  }

  /// Loads what `cutMap` will change, and makes sure that the inode can detach a tree.
  func prepareCut(_ inode: Inode, to blocks: UInt64) throws(Stop) {
    guard inode.layout == .tree, blocks < Self.reach(inode.height) else { return }
    if inode.detachedRoot != 0 {
      guard !isReady else {
        guard !reclaim.damaged.contains(inode.number) else { throw .fail(Code.io) }
        enqueueReclaim(inode.number)
        throw .again
      }
      try freeDetached(inode)
    }
    try prepareOrphan(inode.number)
    if blocks > 0 {
      try prepareNodes(inode.height)
      _ = try mapSlot(inode, blocks)
    }
  }

  /// Cuts a file's map so that it has `blocks` blocks at most. A tree's tail is detached, to be freed in the background.
  func cutMap(_ inode: Inode, to blocks: UInt64) throws(Stop) {
    dropPages(inode, blocks..<UInt64.max)
    switch inode.layout {
    case .inline, .node: return
    case .direct:
      modify(inode.page)
      for index in min(Int(clamping: blocks), Inode.directEntries)..<Inode.directEntries {
        releaseEntry(Entry(inode.page, at: inode.directOffset(index)), of: inode)
        Entry().store(inode.page, at: inode.directOffset(index))
      }
      if blocks == 0 { makeInline(inode) }
    case .tree:
      guard blocks < Self.reach(inode.height) else { return }
      forgetLeaf()
      modify(inode.page)
      if blocks == 0 {
        inode.detachedRoot = inode.root
        inode.detachedHeight = inode.height
        makeInline(inode)
      } else {
        let height = inode.height
        inode.detachedRoot = try detachTail(root: inode.root, height: height, from: blocks)
        inode.detachedHeight = inode.detachedRoot == 0 ? 0 : height
      }
      guard inode.detachedRoot != 0 else { return }
      try insertOrphan(inode.number)
      enqueueReclaim(inode.number)
    }
  }

  private func makeInline(_ inode: Inode) {
    inode.page.clear(at: Inode.inlineStart, count: Inode.inlineCapacity - inode.attributeLength)
    inode.layout = .inline
    inode.inlineLength = 0
    inode.height = 0
    inode.root = 0
  }

  /// Moves all blocks from `first` on into a tree of their own of the same height.
  /// - Returns: its root, 0 when nothing was there.
  private func detachTail(root: UInt64, height: Int, from first: UInt64) throws(Stop) -> UInt64 {
    var number = root
    var level = height
    var detached: UInt64 = 0
    var above: (page: Page, offset: Int)?
    while number != 0, level > 0 {
      let page = try node(number, as: .map)
      level -= 1
      let slot = Int((first >> (8 * UInt64(level))) & 255)
      let isAligned = level == 0 || first & (Self.reach(level) - 1) == 0
      let fresh = try newMapNode()
      modify(page)
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

  /// Clears whole blocks `range` of a file: entries are released, cached pages dropped. Returns after at most one
  /// lowest map node, so that a caller with much to do can go on later.
  /// - Returns: the first block not yet looked at.
  func punchStep(_ inode: Inode, _ range: Range<UInt64>) throws(Stop) -> UInt64 {
    let end = min(range.upperBound, (range.lowerBound | 255) + 1)
    dropPages(inode, range.lowerBound..<end)
    for index in range.lowerBound..<end {
      guard let slot = try mapSlot(inode, index) else { break }
      let entry = slot.entry
      guard !entry.isHole else { continue }
      modify(inode.page)
      modify(slot.page)
      releaseEntry(entry, of: inode)
      Entry().store(slot.page, at: slot.offset)
    }
    return end
  }

  // MARK: Freeing detached trees

  /// Frees all of an inode's detached tree.
  func freeDetached(_ inode: Inode) throws(Stop) {
    while inode.detachedRoot != 0 { try freeDetachedStep(inode) }
  }

  /// Frees the last lowest map node of the detached tree, or an emptied node above.
  func freeDetachedStep(_ inode: Inode) throws(Stop) {
    var number = inode.detachedRoot
    var level = inode.detachedHeight
    var above: (page: Page, offset: Int)?
    var way: InlineArray<4, UInt64> = .init(repeating: 0)
    while true {
      // A tree that leads back to itself could never be freed.
      guard !way.indices.contains(where: { way[$0] == number }) else { throw .fail(Code.io) }
      let page = try node(number, as: .map)
      level -= 1
      if level == 0 {
        try freeLeaf(page, of: inode)
        break
      }
      way[level] = number
      guard let slot = (0..<Entry.perBlock).last(where: { Entry(page, at: $0 * Entry.size).address != 0 })
      else { break }
      above = (page, slot * Entry.size)
      number = Entry(page, at: slot * Entry.size).address
    }
    freeNode(.internalNode, number)
    modify(inode.page)
    if let above {
      modify(above.page)
      Entry().store(above.page, at: above.offset)
    } else {
      inode.detachedRoot = 0
      inode.detachedHeight = 0
    }
  }

  private func freeLeaf(_ page: Page, of inode: Inode) throws(Stop) {
    // The leaf itself is going away: a checkpoint under way must have it as it is now.
    modify(page)
    modify(inode.page)
    for index in 0..<Entry.perBlock {
      releaseEntry(Entry(page, at: index * Entry.size), of: inode)
    }
  }
}
