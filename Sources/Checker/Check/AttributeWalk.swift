import Format

/// Walks an inode's extended attributes, wherever they lie, and checks the structure above them and the values that lie apart.
struct AttributeWalk {
  private static let allHashes: Range<UInt64> = 0..<1 << DirectoryHash.bits

  private let check: Check
  private let inode: UInt64
  private var names: Set<[UInt8]> = []
  /// Whether all of the attributes could be read.
  private(set) var isComplete = true

  init(_ check: Check, inode: UInt64) {
    self.check = check
    self.inode = inode
  }

  mutating func run(_ inode: Inode) {
    walk(AttributeEntries(inode), hashes: Self.allHashes, .inode(self.inode))
    let reference = inode.attributeNode
    guard reference != 0 else { return }
    if reference & DirectoryIndex.referenceFlag == 0 {
      walkNodes([(reference, Self.allHashes)])
    } else {
      walkIndexes([(reference & ~DirectoryIndex.referenceFlag, 0)], depth: 0)
    }
  }

  /// Indices of one depth, each with the hash bits that lead to it, in their place.
  private mutating func walkIndexes(_ indexes: [(number: UInt64, prefix: UInt64)], depth: Int) {
    let prefixOf = Dictionary(indexes.map { ($0.number, $0.prefix) }, uniquingKeysWith: { first, _ in first })
    var read = 0
    var state = self
    check.fetchNodes(indexes.map(\.number), inode: inode) { number, page in
      let index = DirectoryIndex(page)
      guard index.isValid, index.depth == depth, index.owner == inode else {
        check.noteDamage(.attributes, .node(number, inode: inode), "no index of this inode's attributes")
        return
      }
      read += 1
      state.walkSlots(index, number, prefix: prefixOf[number] ?? 0)
    }
    if read != indexes.count { state.isComplete = false }
    self = state
  }

  private mutating func walkSlots(_ index: DirectoryIndex, _ number: UInt64, prefix: UInt64) {
    let shift = DirectoryHash.bits - 8 * UInt64(index.depth + 1)
    let isLowest = index.depth + 1 >= DirectoryIndex.maximumDepth
    var nodes: [(UInt64, Range<UInt64>)] = []
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
        note(
          .inconsistency, .node(number, inode: inode),
          "slots \(slot)...\(end - 1) of its attributes cannot belong to one reference")
      }
      let first = prefix | UInt64(slot) << shift
      if isIndex {
        indexes.append((reference & ~DirectoryIndex.referenceFlag, first))
      } else {
        nodes.append((reference, first..<prefix + UInt64(end) << shift))
      }
    }
    walkNodes(nodes)
    guard !indexes.isEmpty, !isLowest else { return }
    walkIndexes(indexes, depth: index.depth + 1)
  }

  private mutating func walkNodes(_ nodes: [(UInt64, Range<UInt64>)]) {
    let rangeOf = Dictionary(nodes, uniquingKeysWith: { first, _ in first })
    var read = 0
    var state = self
    check.fetchNodes(nodes.map(\.0), inode: inode) { number, page in
      let node = AttributeNode(page)
      guard node.isValid, node.owner == inode else {
        check.noteDamage(.attributes, .node(number, inode: inode), "no attribute node of this inode")
        return
      }
      read += 1
      state.walk(AttributeEntries(node), hashes: rangeOf[number] ?? 0..<0, .node(number, inode: inode))
    }
    if read != nodes.count { state.isComplete = false }
    self = state
  }

  private mutating func walk(_ entries: AttributeEntries, hashes: Range<UInt64>, _ place: Finding.Place) {
    if !entries.isValid { note(.damage, place, "the extended attributes cannot be told apart") }
    var offset = entries.start
    while let attribute = entries.attribute(at: offset) {
      offset += attribute.length
      let name = Array(attribute.name)
      if !names.insert(name).inserted { note(.inconsistency, .inode(inode), "one extended attribute twice") }
      if !hashes.contains(check.hash.of(attribute.name)) {
        note(.inconsistency, place, "attribute \(Finding.Place.printable(name)) where nobody looks for it")
      }
      if attribute.form == .apart { checkValue(attribute) }
    }
  }

  /// The value of an attribute in nodes of its own.
  private mutating func checkValue(_ attribute: AttributeEntries.Attribute) {
    let numbers = attribute.valueNodes
    let indexOf = Dictionary(zip(numbers, numbers.indices), uniquingKeysWith: { first, _ in first })
    var read = 0
    check.fetchNodes(numbers, inode: inode) { number, page in
      let node = AttributeValueNode(page)
      guard node.isValid, node.owner == inode, let index = indexOf[number],
        node.length == AttributeValueNode.length(of: attribute.valueCount, at: index)
      else {
        check.noteDamage(.attributes, .node(number, inode: inode), "no part of this attribute's value")
        return
      }
      read += 1
    }
    if read != numbers.count { isComplete = false }
  }

  private func note(_ severity: Finding.Severity, _ place: Finding.Place, _ detail: String) {
    check.note(Finding(.attributes, severity, place, detail, repairs: [.rebuildAttributes(inode)]))
  }
}

extension Check {
  /// The extended attributes in the inode and in its attribute nodes.
  func checkAttributes(_ inode: Inode, _ number: UInt64) {
    var walk = AttributeWalk(self, inode: number)
    walk.run(inode)
    guard !walk.isComplete else { return }
    note(
      Finding(
        .attributes, .damage, .inode(number), "some of its extended attributes cannot be read",
        repairs: [.rebuildAttributes(number)]))
  }
}
