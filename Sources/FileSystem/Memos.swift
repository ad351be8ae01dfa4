import Format

/// The inode that was used last. It counts while its frame still says that it holds it.
struct InodeMemo {
  var key = NodeKey(raw: 0)
  var frame = FrameIndex.none
}

/// The lowest map node that was used last: blocks near each other are looked up together.
///
/// It counts while its frame still says that it holds the node, and until a map node leaves a tree
/// (`forgetLeaf`).
struct LeafMemo {
  var root: UInt64 = 0
  var height = 0
  /// The blocks it maps, by their index without its last 8 bits.
  var blocks: UInt64 = 0
  var key = NodeKey(raw: 0)
  var frame = FrameIndex.none
}

extension FileSystem {
  @inline(__always)
  func isCurrent(_ frame: FrameIndex, _ key: NodeKey) -> Bool {
    frame != .none && cache.frames[Int(frame)].key == key && cache.frames[Int(frame)].state == .ready
  }

  /// The place of block `index` in the lowest map node used last, nil when it is not there.
  @inline(__always)
  func slotInLastLeaf(root: UInt64, height: Int, _ index: UInt64) -> MapSlot? {
    guard lastLeaf.root == root, lastLeaf.height == height, lastLeaf.blocks == index >> 8,
      isCurrent(lastLeaf.frame, lastLeaf.key)
    else { return nil }
    cache.frames[Int(lastLeaf.frame)].isReferenced = true
    return MapSlot(page: cache.page(lastLeaf.frame), offset: Int(index & 255) * Entry.size)
  }

  @inline(__always)
  func remember(leaf page: Page, number: UInt64, root: UInt64, height: Int, _ index: UInt64) {
    lastLeaf = LeafMemo(
      root: root, height: height, blocks: index >> 8, key: NodeKey(.internalNode, number),
      frame: cache.frame(of: page))
  }

  /// A map node is about to leave a tree.
  func forgetLeaf() { lastLeaf = LeafMemo() }
}
