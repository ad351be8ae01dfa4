import Format

/// One record found in a directory.
struct FoundRecord {
  let key: UInt64
  let node: NodeID
  let type: UInt8
  let name: UnsafeRawBufferPointer
}

/// Walks a directory's records, in the inode or in leaves, and checks the index nodes above them.
struct DirectoryWalk {
  let check: Check
  let directory: UInt64
  /// Whether all of the directory could be read.
  var isComplete = true

  init(_ check: Check, directory: UInt64) {
    self.check = check
    self.directory = directory
  }

  /// Calls `body` for each record of the directory, in any order of leaves.
  mutating func run(_ inode: Inode, body: (FoundRecord) -> Void) {
    switch inode.layout {
    case .inline: walk(DirectoryEntries(inode), hashes: 1..<(1 << DirectoryHash.bits), body)
    case .node: walkLeaves(inode.root, body)
    case .direct, .tree: isComplete = false
    }
  }

  private mutating func walkLeaves(_ root: UInt64, _ body: (FoundRecord) -> Void) {
    var leaves = IndexWalk(
      check, owner: directory,
      wording: IndexWalk.Wording(
        kind: .directoryNode, noIndex: "no index of this directory", noLeaf: "no leaf of this directory",
        slots: "", rangeKind: .directoryRange, repair: .rebuildDirectory(directory)))
    leaves.run(root) { _, page, hashes in
      let leaf = DirectoryLeaf(page)
      guard leaf.isValid, leaf.owner == directory else { return false }
      walk(DirectoryEntries(leaf), hashes: hashes, body)
      return true
    }
    if !leaves.isComplete { isComplete = false }
  }

  private mutating func walk(
    _ entries: DirectoryEntries, hashes: Range<UInt64>, _ body: (FoundRecord) -> Void
  ) {
    var sameHash: [UnsafeRawBufferPointer] = []
    var previous: UInt64 = 0
    var offset = entries.start
    while let record = entries.record(at: offset) {
      offset += record.length
      let hash = record.key >> DirectoryHash.ordinalBits
      if hash != check.hash.of(record.name) {
        note(.directoryKey, record.name, "its key is not that of the name")
      } else if !hashes.contains(hash) {
        note(.directoryKey, record.name, "in a leaf where a lookup does not find it")
      }
      if hash != previous { sameHash.removeAll(keepingCapacity: true) }
      previous = hash
      if sameHash.contains(where: { record.name.elementsEqual($0) }) {
        note(.directoryName, record.name, "the name is there twice")
      }
      sameHash.append(record.name)
      body(FoundRecord(key: record.key, node: record.node, type: record.type, name: record.name))
    }
  }

  private func note(_ kind: Finding.Kind, _ name: UnsafeRawBufferPointer, _ detail: String) {
    note(kind, .name(Array(name), directory: directory), detail)
  }

  private func note(_ kind: Finding.Kind, _ place: Finding.Place, _ detail: String) {
    check.note(Finding(kind, .inconsistency, place, detail, repairs: [.rebuildDirectory(directory)]))
  }
}
