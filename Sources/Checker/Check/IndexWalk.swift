import Format

/// Walks the index nodes above hashed leaves, of a directory's names or of an inode's extended attributes,
/// and checks them.
struct IndexWalk {
  /// The words of findings, which differ between directories and attributes.
  struct Wording {
    let kind: Finding.Kind
    let noIndex: String
    let noLeaf: String
    /// What of them cannot belong to one reference.
    let slots: String
    let rangeKind: Finding.Kind
    let repair: Repair
  }

  static let allHashes: Range<UInt64> = 0..<1 << DirectoryHash.bits

  let check: Check
  let owner: UInt64
  let wording: Wording
  /// Whether all of it could be read.
  private(set) var isComplete = true

  init(_ check: Check, owner: UInt64, wording: Wording) {
    self.check = check
    self.owner = owner
    self.wording = wording
  }

  /// Calls `body` with each leaf below `reference`, in any order, and the hashes that belong there.
  /// - Parameter body: whether the block is such a leaf.
  mutating func run(_ reference: UInt64, body: (UInt64, Page, Range<UInt64>) -> Bool) {
    if reference & DirectoryIndex.referenceFlag == 0 {
      walkLeaves([(reference, Self.allHashes)], body)
    } else {
      walkIndexes([(reference & ~DirectoryIndex.referenceFlag, 0)], depth: 0, body)
    }
  }

  /// Indices of one depth, each with the hash bits that lead to it, in their place.
  private mutating func walkIndexes(
    _ indexes: [(number: UInt64, prefix: UInt64)], depth: Int,
    _ body: (UInt64, Page, Range<UInt64>) -> Bool
  ) {
    let prefixOf = Dictionary(indexes.map { ($0.number, $0.prefix) }, uniquingKeysWith: { first, _ in first })
    var state = self
    let isAll = fetch(indexes.map(\.number), orElse: wording.noIndex) { number, page in
      let index = DirectoryIndex(page)
      guard index.isValid, index.depth == depth, index.owner == owner else { return false }
      state.walkSlots(index, number, prefix: prefixOf[number] ?? 0, body)
      return true
    }
    if !isAll { state.isComplete = false }
    self = state
  }

  private mutating func walkSlots(
    _ index: DirectoryIndex, _ number: UInt64, prefix: UInt64,
    _ body: (UInt64, Page, Range<UInt64>) -> Bool
  ) {
    let shift = DirectoryHash.bits - 8 * UInt64(index.depth + 1)
    let isLowest = index.depth + 1 >= DirectoryIndex.maximumDepth
    var leaves: [(UInt64, Range<UInt64>)] = []
    var indexes: [(number: UInt64, prefix: UInt64)] = []
    var slot = 0
    while slot < DirectoryIndex.slots {
      let reference = index[slot]
      var end = slot + 1
      while end < DirectoryIndex.slots, index[end] == reference { end += 1 }
      defer { slot = end }
      guard reference != 0 else { continue }
      let length = end - slot
      let isIndex = reference & DirectoryIndex.referenceFlag != 0
      if length & (length - 1) != 0 || slot % length != 0 || (isIndex && (length != 1 || isLowest)) {
        check.note(
          Finding(
            wording.rangeKind, .inconsistency, .node(number, inode: owner),
            "slots \(slot)...\(end - 1)\(wording.slots) cannot belong to one reference",
            repairs: check.givingUp(wording.repair)))
      }
      let first = prefix | UInt64(slot) << shift
      if isIndex {
        indexes.append((reference & ~DirectoryIndex.referenceFlag, first))
      } else {
        leaves.append((reference, first..<prefix + UInt64(end) << shift))
      }
    }
    walkLeaves(leaves, body)
    guard !indexes.isEmpty, !isLowest else { return }
    walkIndexes(indexes, depth: index.depth + 1, body)
  }

  private mutating func walkLeaves(
    _ leaves: [(UInt64, Range<UInt64>)], _ body: (UInt64, Page, Range<UInt64>) -> Bool
  ) {
    let rangeOf = Dictionary(leaves, uniquingKeysWith: { first, _ in first })
    let isAll = fetch(leaves.map(\.0), orElse: wording.noLeaf) { number, page in
      body(number, page, rangeOf[number] ?? 0..<0)
    }
    if !isAll { isComplete = false }
  }

  /// Reads nodes; a node for which `body` returns false is of the wrong kind, which is damage.
  /// - Returns: whether all could be read and are of the right kind.
  private func fetch(_ numbers: [UInt64], orElse detail: String, _ body: (UInt64, Page) -> Bool) -> Bool {
    var taken = 0
    check.fetchNodes(numbers, inode: owner) { number, page in
      if body(number, page) {
        taken += 1
      } else {
        check.noteDamage(wording.kind, .node(number, inode: owner), detail)
      }
    }
    return taken == numbers.count
  }
}
