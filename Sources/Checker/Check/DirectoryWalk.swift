import Format

/// One record found in a directory.
struct FoundRecord {
  let key: UInt64
  let node: NodeID
  let type: UInt8
  let name: UnsafeRawBufferPointer
}

/// Walks a directory's records, wherever they lie, and checks the structure above them.
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
    case .node where inode.root & DirectoryIndex.referenceFlag == 0:
      walkLeaves([(inode.root, 0..<(1 << DirectoryHash.bits))], body)
    case .node:
      walkIndexes([inode.root & ~DirectoryIndex.referenceFlag], prefixes: [0], depth: 0, body)
    case .direct, .tree: isComplete = false
    }
  }

  private mutating func walkIndexes(
    _ numbers: [UInt64], prefixes: [UInt64], depth: Int, _ body: (FoundRecord) -> Void
  ) {
    let prefixOf = Dictionary(zip(numbers, prefixes), uniquingKeysWith: { first, _ in first })
    var read = 0
    var state = self
    check.fetchNodes(numbers, inode: directory) { number, page in
      let index = DirectoryIndex(page)
      guard index.isValid, index.depth == depth, index.owner == directory else {
        check.noteDamage(.directoryNode, .node(number, inode: directory), "no index of this directory")
        return
      }
      read += 1
      state.walkSlots(index, number, prefix: prefixOf[number] ?? 0, body)
    }
    if read != numbers.count { state.isComplete = false }
    self = state
  }

  /// Follows all references of an index. `prefix` are the hash bits that lead to it, in their place.
  private mutating func walkSlots(
    _ index: DirectoryIndex, _ number: UInt64, prefix: UInt64, _ body: (FoundRecord) -> Void
  ) {
    let shift = DirectoryHash.bits - 8 * UInt64(index.depth + 1)
    var leaves: [(UInt64, Range<UInt64>)] = []
    var indexes: [UInt64] = []
    var prefixes: [UInt64] = []
    var slot = 0
    while slot < DirectoryIndex.slots {
      let reference = index[slot]
      var end = slot + 1
      while end < DirectoryIndex.slots, index[end] == reference { end += 1 }
      defer { slot = end }
      guard reference != 0 else { continue }
      let length = end - slot
      let isIndex = reference & DirectoryIndex.referenceFlag != 0
      if length & (length - 1) != 0 || slot % length != 0 || (isIndex && length != 1)
        || (isIndex && index.depth + 1 >= DirectoryIndex.maximumDepth)
      {
        note(
          .directoryRange, .node(number, inode: directory),
          "slots \(slot)...\(end - 1) cannot belong to one reference")
      }
      if isIndex {
        indexes.append(reference & ~DirectoryIndex.referenceFlag)
        prefixes.append(prefix | UInt64(slot) << shift)
      } else {
        leaves.append((reference, prefix | UInt64(slot) << shift..<prefix + UInt64(end) << shift))
      }
    }
    walkLeaves(leaves, body)
    guard !indexes.isEmpty, index.depth + 1 < DirectoryIndex.maximumDepth else { return }
    walkIndexes(indexes, prefixes: prefixes, depth: index.depth + 1, body)
  }

  private mutating func walkLeaves(_ leaves: [(UInt64, Range<UInt64>)], _ body: (FoundRecord) -> Void) {
    let rangeOf = Dictionary(leaves, uniquingKeysWith: { first, _ in first })
    var read = 0
    var state = self
    check.fetchNodes(leaves.map(\.0), inode: directory) { number, page in
      let leaf = DirectoryLeaf(page)
      guard leaf.isValid, leaf.owner == directory else {
        check.noteDamage(.directoryNode, .node(number, inode: directory), "no leaf of this directory")
        return
      }
      read += 1
      state.walk(DirectoryEntries(leaf), hashes: rangeOf[number] ?? 0..<0, body)
    }
    if read != leaves.count { state.isComplete = false }
    self = state
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
        note(.directoryKey, record.name, "in a leaf where nobody looks for it")
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
