import Format
import Glibc

/// Names in directories: finding, inserting, removing, replacing and listing them. The names of a small
/// directory lie in its inode, those of others in hashed leaves.
///
/// Owns the contents of directories, the orphan directory included, and the index nodes that directories and
/// extended attributes share. It promises that after `prepareInsert` a name can be inserted without reading
/// or allocating anything more, and that no walk through a damaged directory is endless.
final class Directories {
  let volume: Volume
  let loader: Loader
  let nodes: NodeStore

  init(nodes: NodeStore) {
    self.nodes = nodes
    volume = nodes.volume
    loader = nodes.loader
  }

  /// The path to the leaf for `hash` in a directory with leaves.
  private func path(_ directory: Inode, _ hash: UInt64) throws(Stop) -> DirectoryPath {
    try path(from: directory.root, of: directory, hash)
  }

  /// The path from `root`, a leaf or index of `owner`, to the leaf for `hash`.
  func path(from root: UInt64, of owner: Inode, _ hash: UInt64) throws(Stop) -> DirectoryPath {
    try path(from: root, of: owner) { DirectoryHash.slot(hash, depth: $1) }
  }

  /// The path to the last leaf; without a leaf where an index is empty.
  func lastPath(from root: UInt64, of owner: Inode) throws(Stop) -> DirectoryPath {
    try path(from: root, of: owner) { index, _ in (0..<DirectoryIndex.slots).last { index[$0] != 0 } ?? 0 }
  }

  private func path(
    from root: UInt64, of owner: Inode, choosing slot: (_ index: DirectoryIndex, _ depth: Int) -> Int
  ) throws(Stop) -> DirectoryPath {
    var path = DirectoryPath()
    var reference = root
    while reference & DirectoryIndex.referenceFlag != 0 {
      let depth = path.steps.count
      let index = try index(reference, depth: depth, of: owner)
      let slot = slot(index, depth)
      path.steps.append(
        DirectoryPath.Step(
          number: reference & ~DirectoryIndex.referenceFlag, index: index, depth: depth, slot: slot))
      reference = index[slot]
    }
    path.leaf = reference
    return path
  }

  /// The index of `owner` to which a reference leads, with `depth` indices above it.
  private func index(_ reference: UInt64, depth: Int, of owner: Inode) throws(Stop) -> DirectoryIndex {
    let index = DirectoryIndex(try nodes.node(reference & ~DirectoryIndex.referenceFlag, as: .directoryIndex))
    guard depth < DirectoryIndex.maximumDepth, index.depth == depth, index.owner == owner.number else {
      throw loader.damaged(index.page)
    }
    return index
  }

  private func leaf(_ number: UInt64, of directory: Inode) throws(Stop) -> DirectoryLeaf {
    let leaf = DirectoryLeaf(try nodes.node(number, as: .directoryLeaf))
    guard leaf.owner == directory.number else { throw loader.damaged(leaf.page) }
    return leaf
  }

  /// The leaf for `hash`, nil when there is none. It allocates nothing, because every lookup runs it.
  private func findLeaf(_ directory: Inode, _ hash: UInt64) throws(Stop) -> DirectoryLeaf? {
    var reference = directory.root
    var depth = 0
    while reference & DirectoryIndex.referenceFlag != 0 {
      let index = try index(reference, depth: depth, of: directory)
      reference = index[DirectoryHash.slot(hash, depth: depth)]
      depth += 1
    }
    return reference == 0 ? nil : try leaf(reference, of: directory)
  }

  /// The entries, in the inode or in a leaf, among which a name with `hash` would lie; nil where there are
  /// none.
  private func entries(_ directory: Inode, _ hash: UInt64) throws(Stop) -> DirectoryEntries? {
    guard directory.layout == .node else { return DirectoryEntries(directory) }
    guard let leaf = try findLeaf(directory, hash) else { return nil }
    return DirectoryEntries(leaf)
  }

  /// The record of `name`, nil when the directory has no such name.
  func findName(_ directory: Inode, _ name: UnsafeRawBufferPointer) throws(Stop) -> DirectoryRecord? {
    let hash = volume.hash.of(name)
    return try entries(directory, hash)?.find(name, hash: hash)
  }

  /// The name with `hash` under which a directory lists an inode; nil when it has none.
  func findName(_ directory: Inode, hash: UInt64, of number: UInt64) throws(Stop) -> [UInt8]? {
    guard let entries = try entries(directory, hash) else { return nil }
    var offset = entries.position(of: hash << DirectoryHash.ordinalBits)
    while let record = entries.record(at: offset), record.hash == hash {
      if record.node.number == number { return Array(record.name) }
      offset += record.length
    }
    return nil
  }

  // MARK: Inserting

  /// Makes sure that `name` can be inserted without reading or allocating anything more: splits leaves until
  /// it fits. The directory's names do not change.
  func prepareInsert(_ directory: Inode, _ name: UnsafeRawBufferPointer) throws(Stop) {
    let hash = volume.hash.of(name)
    while true {
      try nodes.prepareNodes(3)
      if directory.layout == .inline {
        let entries = DirectoryEntries(directory)
        if entries.fits(name.count) {
          guard entries.freeKey(hash: hash) != nil else { throw .fail(ENOSPC) }
          return
        }
        try makeHashed(directory)
        continue
      }
      let path = try path(directory, hash)
      guard path.leaf != 0 else {
        try makeLeaf(directory, path)
        continue
      }
      let leaf = try leaf(path.leaf, of: directory)
      let entries = DirectoryEntries(leaf)
      if entries.fits(name.count) {
        guard entries.freeKey(hash: hash) != nil else { throw .fail(ENOSPC) }
        return
      }
      try split(directory, path, leaf)
    }
  }

  /// Inserts a name that is not there. The caller has called `prepareInsert`.
  func insertName(_ directory: Inode, _ name: UnsafeRawBufferPointer, node id: NodeID, type: UInt8)
    throws(Stop)
  {
    let hash = volume.hash.of(name)
    guard let entries = try entries(directory, hash), entries.fits(name.count),
      let key = entries.freeKey(hash: hash)
    else { throw .fail(EIO) }
    nodes.modify(entries.page)
    nodes.modify(directory.page)
    let length = entries.insert(key: key, node: id, type: type, name: name)
    if directory.layout == .node {
      DirectoryLeaf(entries.page).length = length
    } else {
      directory.inlineLength = length
    }
    directory.entryCount &+= 1
    directory.size &+= UInt64(DirectoryRecord.fixedSize + name.count)
  }

  private func newLeaf(_ directory: Inode) throws(Stop) -> (number: UInt64, leaf: DirectoryLeaf) {
    let fresh = try nodes.newNode(as: .directoryLeaf)
    let leaf = DirectoryLeaf(fresh.page)
    leaf.initialize(owner: directory.number)
    return (fresh.number, leaf)
  }

  private func newIndex(_ directory: Inode, depth: Int, all reference: UInt64) throws(Stop) -> (
    number: UInt64, index: DirectoryIndex
  ) {
    let fresh = try nodes.newNode(as: .directoryIndex)
    let index = DirectoryIndex(fresh.page)
    index.initialize(owner: directory.number, depth: depth)
    for slot in 0..<DirectoryIndex.slots { index[slot] = reference }
    return (fresh.number, index)
  }

  /// Moves the records of a small directory from its inode into a first leaf.
  private func makeHashed(_ directory: Inode) throws(Stop) {
    let fresh = try newLeaf(directory)
    nodes.modify(directory.page)
    let length = directory.inlineLength
    fresh.leaf.page.copy(
      directory.page.bytes(at: Inode.inlineStart, count: length), at: DirectoryLeaf.headerSize)
    fresh.leaf.length = length
    directory.page.clear(at: Inode.inlineStart, count: length)
    directory.layout = .node
    directory.root = fresh.number
    directory.inlineLength = 0
  }

  /// Adds an empty leaf where the directory has none.
  private func makeLeaf(_ directory: Inode, _ path: DirectoryPath) throws(Stop) {
    hang(try newLeaf(directory).number, at: path, of: directory, \.root)
  }

  /// Adds a leaf at the end of a path without one.
  /// - Parameter root: where the owner refers to the tree.
  func hang(
    _ leaf: UInt64, at path: DirectoryPath, of owner: Inode, _ root: ReferenceWritableKeyPath<Inode, UInt64>
  ) {
    guard let last = path.steps.last else {
      nodes.modify(owner.page)
      return owner[keyPath: root] = leaf
    }
    nodes.modify(last.index.page)
    for slot in last.index.range(of: last.slot) { last.index[slot] = leaf }
  }

  /// Moves the upper half of a leaf's hash range into a new leaf.
  private func split(_ directory: Inode, _ path: DirectoryPath, _ leaf: DirectoryLeaf) throws(Stop) {
    guard let (index, depth, slots) = try upperHalf(path, of: directory, \.root) else { return }
    let fresh = try newLeaf(directory)
    nodes.modify(leaf.page)
    nodes.modify(index.page)
    moveUpperHalf(from: leaf, to: fresh.leaf, depth: depth, slot: slots.lowerBound)
    for slot in slots { index[slot] = fresh.number }
  }

  /// The slots of the index that are to refer to the upper half of a leaf when it is split. A leaf that has
  /// no index above it, or only one slot there, first gets an index node of its own.
  /// - Parameter root: where the owner refers to the tree.
  /// - Returns: nil when it got one: then to be called again.
  func upperHalf(
    _ path: DirectoryPath, of owner: Inode, _ root: ReferenceWritableKeyPath<Inode, UInt64>
  ) throws(Stop) -> (index: DirectoryIndex, depth: Int, slots: Range<Int>)? {
    guard let last = path.steps.last else {
      let index = try newIndex(owner, depth: 0, all: path.leaf)
      nodes.modify(owner.page)
      owner[keyPath: root] = index.number | DirectoryIndex.referenceFlag
      return nil
    }
    let range = last.index.range(of: last.slot)
    guard range.count > 1 else {
      guard last.depth + 1 < DirectoryIndex.maximumDepth else { throw .fail(ENOSPC) }
      let index = try newIndex(owner, depth: last.depth + 1, all: path.leaf)
      nodes.modify(last.index.page)
      last.index[last.slot] = index.number | DirectoryIndex.referenceFlag
      return nil
    }
    return (last.index, last.depth, range.lowerBound + range.count / 2..<range.upperBound)
  }

  /// Records are sorted by hash, so those whose slot is at least `slot` are at the leaf's end.
  private func moveUpperHalf(from leaf: DirectoryLeaf, to fresh: DirectoryLeaf, depth: Int, slot: Int) {
    let entries = DirectoryEntries(leaf)
    var offset = entries.start
    while let record = entries.record(at: offset),
      DirectoryHash.slot(record.key >> DirectoryHash.ordinalBits, depth: depth) < slot
    {
      offset += record.length
    }
    let moved = entries.start + entries.length - offset
    fresh.page.copy(leaf.page.bytes(at: offset, count: moved), at: DirectoryLeaf.headerSize)
    fresh.length = moved
    leaf.page.clear(at: offset, count: moved)
    leaf.length = entries.length - moved
  }

  // MARK: Removing and replacing

  /// Removes a name, and frees the leaf and index nodes that are empty then.
  func removeName(_ directory: Inode, _ name: UnsafeRawBufferPointer) throws(Stop) {
    let hash = volume.hash.of(name)
    guard let entries = try entries(directory, hash), let record = entries.find(name, hash: hash) else {
      throw .fail(ENOENT)
    }
    nodes.modify(entries.page)
    nodes.modify(directory.page)
    let size = record.length
    let length = entries.remove(record)
    directory.loseName(bytes: size)
    guard directory.layout == .node else {
      directory.inlineLength = length
      return
    }
    DirectoryLeaf(entries.page).length = length
    if length == 0 { removeLeaf(directory, try path(directory, hash)) }
  }

  private func removeLeaf(_ directory: Inode, _ path: DirectoryPath) {
    guard freeLeaf(path) else { return }
    directory.layout = .inline
    directory.root = 0
    directory.inlineLength = 0
  }

  /// Frees the last leaf of a directory that is being freed.
  func removeLastLeaf(_ directory: Inode) throws(Stop) {
    let path = try lastPath(from: directory.root, of: directory)
    nodes.modify(directory.page)
    removeLeaf(directory, path)
  }

  /// Frees the leaf at the end of a path, and the index nodes that are empty then.
  /// - Returns: whether the whole tree was freed.
  func freeLeaf(_ path: DirectoryPath) -> Bool {
    if path.leaf != 0 { nodes.freeNode(.internalNode, path.leaf) }
    for step in path.steps.reversed() {
      nodes.modify(step.index.page)
      let gone = step.index[step.slot]
      for slot in 0..<DirectoryIndex.slots where step.index[slot] == gone { step.index[slot] = 0 }
      guard (0..<DirectoryIndex.slots).allSatisfy({ step.index[$0] == 0 }) else { return false }
      nodes.freeNode(.internalNode, step.number)
    }
    return true
  }

  /// Makes a name refer to another inode.
  func replaceName(_ directory: Inode, _ name: UnsafeRawBufferPointer, node id: NodeID, type: UInt8)
    throws(Stop)
  {
    let hash = volume.hash.of(name)
    guard let entries = try entries(directory, hash), let record = entries.find(name, hash: hash) else {
      throw .fail(ENOENT)
    }
    nodes.modify(entries.page)
    entries.replace(record, node: id, type: type)
  }

  // MARK: Walking

  /// Empty leaves and indices that one walk skips at most. Leaves and indices are freed when they become
  /// empty, so between two names there are few; but in a damaged directory indices may share their children,
  /// and then a walk could go on practically for ever.
  private static let placesWithoutNames = 512

  /// Calls `body` with the records whose key is greater than `cookie`, in order, until it returns false.
  func forEachName(
    _ directory: Inode, after cookie: UInt64, _ body: (DirectoryRecord) throws(Stop) -> Bool
  ) throws(Stop) {
    var cookie = min(cookie, UInt64(Int64.max))
    if directory.layout != .node {
      _ = try walk(DirectoryEntries(directory), after: &cookie, body)
      return
    }
    var hash = cookie >> DirectoryHash.ordinalBits
    var places = 0
    while hash < 1 << DirectoryHash.bits {
      let path = try path(directory, hash)
      if path.leaf != 0 {
        let leaf = try leaf(path.leaf, of: directory)
        let before = cookie
        guard try walk(DirectoryEntries(leaf), after: &cookie, body) else { return }
        if cookie != before { places = 0 }
      }
      places += 1
      guard places <= Self.placesWithoutNames else { throw loader.damaged(directory.page) }
      guard let last = path.steps.last else { return }
      hash = Self.nextHash(hash, depth: last.depth, slot: last.index.range(of: last.slot).upperBound)
    }
  }

  /// The first hash of `slot` in the index at `depth` on the path to `hash`.
  static func nextHash(_ hash: UInt64, depth: Int, slot: Int) -> UInt64 {
    let shift = DirectoryHash.bits - 8 * UInt64(depth + 1)
    return ((hash >> (shift + 8)) << 8 + UInt64(slot)) << shift
  }

  /// Calls `body` with the records after `cookie`, and advances `cookie`.
  private func walk(
    _ entries: DirectoryEntries, after cookie: inout UInt64, _ body: (DirectoryRecord) throws(Stop) -> Bool
  ) throws(Stop) -> Bool {
    var offset = entries.position(of: cookie + 1)
    while let record = entries.record(at: offset) {
      // A listing continues after the last key that it returned, so keys must ascend.
      guard record.key > cookie, record.key <= UInt64(Int64.max) else { throw loader.damaged(entries.page) }
      cookie = record.key
      guard try body(record) else { return false }
      offset += record.length
    }
    return true
  }
}

/// The path from the root index down to the leaf for a name's hash. Names of attributes are found in the same
/// way as names in a directory.
struct DirectoryPath {
  struct Step {
    let number: UInt64
    let index: DirectoryIndex
    /// How many indices lie above it.
    let depth: Int
    let slot: Int
  }

  var steps: [Step] = []
  /// The leaf's number, 0 when the directory has no leaf there.
  var leaf: UInt64 = 0
}
