import Format

/// Walks an inode's extended attributes, in the inode and in nodes, and checks them and their value nodes.
struct AttributeWalk {
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
    walk(AttributeEntries(inode), hashes: IndexWalk.allHashes, .inode(self.inode))
    guard inode.attributeNode != 0 else { return }
    var nodes = IndexWalk(
      check, owner: self.inode,
      wording: IndexWalk.Wording(
        kind: .attributes, noIndex: "no index of this inode's attributes",
        noLeaf: "no attribute node of this inode", slots: " of its attributes", rangeKind: .attributes,
        repair: .rebuildAttributes(self.inode)))
    nodes.run(inode.attributeNode) { number, page, hashes in
      let node = AttributeNode(page)
      guard node.isValid, node.owner == self.inode else { return false }
      walk(AttributeEntries(node), hashes: hashes, .node(number, inode: self.inode))
      return true
    }
    if !nodes.isComplete { isComplete = false }
  }

  private mutating func walk(_ entries: AttributeEntries, hashes: Range<UInt64>, _ place: Finding.Place) {
    if !entries.isValid { note(.damage, place, "the extended attributes are not valid") }
    var offset = entries.start
    while let attribute = entries.attribute(at: offset) {
      offset += attribute.length
      let name = Array(attribute.name)
      if !names.insert(name).inserted { note(.inconsistency, .inode(inode), "one extended attribute twice") }
      if !hashes.contains(check.hash.of(attribute.name)) {
        note(
          .inconsistency, place,
          "attribute \(name.printable) in a node where a lookup does not find it")
      }
      if attribute.form == .apart { checkValue(attribute) }
    }
  }

  /// Checks the value nodes of an attribute.
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
    check.note(
      Finding(.attributes, severity, place, detail, repairs: check.givingUp(.rebuildAttributes(inode))))
  }
}

extension Check {
  /// Checks the extended attributes in the inode and in its attribute nodes.
  func checkAttributes(_ inode: Inode, _ number: UInt64) {
    var walk = AttributeWalk(self, inode: number)
    walk.run(inode)
    guard !walk.isComplete else { return }
    note(
      Finding(
        .attributes, .damage, .inode(number), "some of its extended attributes cannot be read",
        repairs: givingUp(.rebuildAttributes(number))))
  }
}
