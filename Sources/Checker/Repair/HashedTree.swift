import Format

/// An item in a leaf that is found by the hash of a name: a directory's record, or an extended attribute.
protocol HashedItem {
  /// Of its name.
  var hash: UInt64 { get }
  /// The bytes it takes in a leaf.
  var length: Int { get }
}

/// Builds the leaves for hashed items, and index nodes above them where one leaf does not hold all.
struct HashedTree<Item: HashedItem> {
  let transaction: Transaction
  /// The inode that the tree belongs to.
  let owner: UInt64
  /// The bytes that a leaf has for items.
  let capacity: Int
  /// Thrown when there are more items of one hash than a leaf holds.
  let overflow: RepairError
  /// Fills in a zeroed block as a leaf with these items.
  let makeLeaf: (Page, ArraySlice<Item>) -> Void

  /// Builds a leaf, or an index over leaves, with these items, which are in ascending order of their hashes.
  /// - Returns: the reference to it, 0 for none.
  func build(_ items: ArraySlice<Item>, depth: Int = 0) throws(RepairError) -> UInt64 {
    if items.isEmpty { return 0 }
    if fitsLeaf(items) {
      let (number, page) = try transaction.makeNode()
      makeLeaf(page, items)
      return number
    }
    guard depth < DirectoryIndex.maximumDepth else { throw overflow }
    let (number, page) = try transaction.makeNode()
    let index = DirectoryIndex(page)
    index.initialize(owner: owner, depth: depth)
    try fill(index, 0..<DirectoryIndex.slots, items)
    return number | DirectoryIndex.referenceFlag
  }

  private func fitsLeaf(_ items: ArraySlice<Item>) -> Bool {
    items.reduce(0) { $0 + $1.length } <= capacity
  }

  /// Halves the range of slots until the items of each half fit in a leaf, or one slot is left that needs an
  /// index of its own.
  private func fill(_ index: DirectoryIndex, _ slots: Range<Int>, _ items: ArraySlice<Item>)
    throws(RepairError)
  {
    if slots.count == 1 || fitsLeaf(items) {
      let reference = try build(items, depth: index.depth + 1)
      for slot in slots { index[slot] = reference }
      return
    }
    let middle = slots.lowerBound + slots.count / 2
    let split =
      items.firstIndex { DirectoryHash.slot($0.hash, depth: index.depth) >= middle } ?? items.endIndex
    try fill(index, slots.lowerBound..<middle, items[..<split])
    try fill(index, middle..<slots.upperBound, items[split...])
  }
}
