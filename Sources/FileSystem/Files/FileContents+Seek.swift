import Format

/// Searching a file's map for data or holes.
///
/// Where the map has no node there is a hole, however large: it is skipped in one step. The request's cursor
/// keeps how far a search has come, and only the map nodes at that position are kept in memory.
extension FileContents {
  /// What a search looks for.
  enum Sought {
    /// Written blocks, and dirty pages.
    case data
    /// Anything else.
    case hole
    /// Written or reserved blocks, and dirty pages: everything that punching removes.
    case taken
  }

  /// Advances `index` to the first block from there on, before `end`, that is of the sought kind. The running
  /// request's cursor keeps in `searched` how far the search has come, so that a rerun begins there.
  /// - Returns: false when there is none.
  func find(_ sought: Sought, in inode: Inode, from index: inout UInt64, to end: UInt64) throws(Stop) -> Bool
  {
    while index < end {
      if index > waiting.cursor.searched {
        waiting.cursor.searched = index
        waiting.releasePins()
      }
      guard !event.isSpent else { throw .again(.share) }
      switch inode.layout {
      case .inline, .node: return false
      case .direct:
        let offset = inode.directOffset(0)
        if index < UInt64(Inode.directEntries) {
          let limit = min(end, UInt64(Inode.directEntries))
          if find(sought, inode, MapSlot(page: inode.page, offset: offset), &index, limit) { return true }
        } else {
          guard sought == .hole else { return false }
          return true
        }
      case .tree:
        if try findInTree(sought, inode, &index, end) { return true }
      }
    }
    return false
  }

  /// Searches one lowest map node, or skips a part of the tree that has none.
  private func findInTree(_ sought: Sought, _ inode: Inode, _ index: inout UInt64, _ end: UInt64) throws(Stop)
    -> Bool
  {
    let (root, height) = try map.tree(of: inode)
    guard index < FileMap.reach(height) else {
      if sought != .hole { index = end }
      return sought == .hole
    }
    var number = root
    for level in (0..<height).reversed() {
      let page = try nodes.node(number, as: .map)
      let first = Int((index >> (8 * UInt64(level))) & 255)
      if level == 0 {
        let start = index & ~255
        return find(sought, inode, MapSlot(page: page, offset: 0), &index, min(end, start + 256))
      }
      number = Entry(page, at: first * Entry.size).address
      if number == 0 {
        // Dirty pages have nodes above them.
        if sought == .hole { return true }
        index = nextChild(page, after: first, level: level, index)
        return false
      }
      try nodes.readAhead(page, from: first, isForward: true)
    }
    return false
  }

  /// The first block under the next child after slot `first` of a map node; the first block after the node
  /// when it has no more children.
  private func nextChild(_ page: Page, after first: Int, level: Int, _ index: UInt64) -> UInt64 {
    let next = (first + 1..<Entry.perBlock).first { Entry(page, at: $0 * Entry.size).address != 0 }
    event.count((next ?? Entry.perBlock) - first)
    let width = 8 * UInt64(level)
    return ((index >> (width + 8)) << 8 + UInt64(next ?? Entry.perBlock)) << width
  }

  /// Searches the entries of one lowest map node or inode from block `index` on. `first` is the node's or the
  /// inode's first entry; `limit` lies within it.
  private func find(
    _ sought: Sought, _ inode: Inode, _ first: MapSlot, _ index: inout UInt64, _ limit: UInt64
  ) -> Bool {
    let hasDirtyPages = states.find(inode.number).map { states[$0].pages.dirty.count > 0 } ?? false
    let mask = inode.layout == .tree ? UInt64(255) : UInt64.max
    let start = index
    defer { event.count(Int(index - start) * (hasDirtyPages ? Work.frame : Work.entry)) }
    while index < limit {
      let entry = Entry(first.page, at: first.offset + Int(index & mask) * Entry.size)
      let isDirty =
        hasDirtyPages && entry.address == 0 && pages.isDirty(inode.number, index)
      let isData = entry.address != 0 || isDirty
      switch sought {
      case .data: if isData { return true }
      case .hole: if !isData { return true }
      case .taken: if isData || !entry.isHole { return true }
      }
      index += 1
    }
    return false
  }
}
