import Format

/// An extended attribute to be stored.
struct NewAttribute {
  var name: [UInt8]
  var value: [UInt8]
}

extension Transaction {
  /// Gives an inode those of its extended attributes that can still be read, each name once, in new nodes.
  ///
  /// Nodes that certainly belong to it are freed. Others, damaged ones too, are found as unreferenced by the
  /// next check.
  func rebuildAttributes(of number: UInt64) throws(RepairError) {
    let inode = try inode(number)
    var salvage = AttributeSalvage(self, inode: number)
    salvage.run(inode)
    for node in salvage.nodes.sorted() { try freeNode(node) }
    try store(salvage.attributes, of: number)
  }

  /// Gives an inode these extended attributes and no others, in new nodes.
  func store(_ attributes: [NewAttribute], of number: UInt64) throws(RepairError) {
    let inode = try inode(number)
    inode.page.clear(at: Page.size - inode.attributeLength, count: inode.attributeLength)
    inode.attributeLength = 0
    inode.attributeNode = 0
    var others: [StoredAttribute] = []
    for attribute in attributes {
      let whole = StoredAttribute(
        hash: check.hash.of(attribute.name), name: attribute.name, form: .inline, content: attribute.value)
      if whole.length <= Inode.inlineCapacity - inode.inlineLength - inode.attributeLength {
        whole.insert(into: inode)
      } else {
        others.append(try store(attribute, of: number))
      }
    }
    guard !others.isEmpty else { return }
    others.sort { $0.hash < $1.hash }
    let tree = HashedTree(
      transaction: self, owner: number, capacity: AttributeNode.capacity,
      overflow: .unreadable("attributes of inode \(number)")
    ) { (page, attributes: ArraySlice<StoredAttribute>) in
      let node = AttributeNode(page)
      node.initialize(owner: number)
      for attribute in attributes { attribute.insert(into: node) }
    }
    inode.attributeNode = try tree.build(others[...])
  }

  /// An attribute in the form in which it is stored in a node.
  private struct StoredAttribute: HashedItem {
    var hash: UInt64
    var name: [UInt8]
    var form: AttributeEntries.Form
    var content: [UInt8]

    var length: Int { AttributeEntries.length(name: name.count, content: content.count) }

    func insert(into inode: Inode) {
      name.withUnsafeBytes { name in
        content.withUnsafeBytes { AttributeEntries.insert(name: name, form, content: $0, into: inode) }
      }
    }

    func insert(into node: AttributeNode) {
      name.withUnsafeBytes { name in
        content.withUnsafeBytes { AttributeEntries.insert(name: name, form, content: $0, into: node) }
      }
    }
  }

  private func store(_ attribute: NewAttribute, of number: UInt64) throws(RepairError) -> StoredAttribute {
    let hash = check.hash.of(attribute.name)
    let value = attribute.value
    guard value.count > AttributeEntries.longestInlineValue else {
      return StoredAttribute(hash: hash, name: attribute.name, form: .inline, content: value)
    }
    var nodes: [UInt64] = []
    for index in 0..<AttributeValueNode.count(of: value.count) {
      let (fresh, page) = try makeNode()
      let node = AttributeValueNode(page)
      value.withUnsafeBytes { node.initialize(owner: number, part: index, of: $0) }
      nodes.append(fresh)
    }
    return StoredAttribute(
      hash: hash, name: attribute.name, form: .apart,
      content: AttributeEntries.reference(value: value.count, nodes: nodes))
  }
}

/// The extended attributes of an inode that can still be read.
private struct AttributeSalvage {
  private let transaction: Transaction
  private let inode: UInt64
  private(set) var attributes: [NewAttribute] = []
  /// The nodes that were read: certainly this inode's.
  private(set) var nodes: Set<UInt64> = []
  private var visited: Set<UInt64> = []
  private var names: Set<[UInt8]> = []

  init(_ transaction: Transaction, inode: UInt64) {
    self.transaction = transaction
    self.inode = inode
  }

  mutating func run(_ inode: Inode) {
    take(AttributeEntries(inode))
    visit(inode.attributeNode, depth: 0)
  }

  private mutating func visit(_ reference: UInt64, depth: Int) {
    let number = reference & ~DirectoryIndex.referenceFlag
    guard let page = read(number) else { return }
    let node = AttributeNode(page.page)
    let index = DirectoryIndex(page.page)
    if node.isValid, node.owner == inode {
      nodes.insert(number)
      take(AttributeEntries(node))
    } else if index.isValid, index.owner == inode, depth < DirectoryIndex.maximumDepth {
      nodes.insert(number)
      for slot in 0..<DirectoryIndex.slots { visit(index[slot], depth: depth + 1) }
    }
  }

  /// Reads a node that was not read yet.
  private mutating func read(_ number: UInt64) -> PageBuffer? {
    guard number != 0, visited.insert(number).inserted else { return nil }
    return try? transaction.node(number)
  }

  private mutating func take(_ entries: AttributeEntries) {
    var offset = entries.start
    while let attribute = entries.attribute(at: offset) {
      offset += attribute.length
      let name = Array(attribute.name)
      guard !names.contains(name), let value = value(of: attribute) else { continue }
      names.insert(name)
      attributes.append(NewAttribute(name: name, value: value))
    }
  }

  private mutating func value(of attribute: AttributeEntries.Attribute) -> [UInt8]? {
    guard attribute.form == .apart else { return Array(attribute.content) }
    var value: [UInt8] = []
    for (index, number) in attribute.valueNodes.enumerated() {
      guard let page = self.read(number) else { continue }
      let node = AttributeValueNode(page.page)
      guard node.isValid, node.owner == inode else { continue }
      nodes.insert(number)
      if node.length == AttributeValueNode.length(of: attribute.valueCount, at: index) {
        value.append(contentsOf: node.bytes)
      }
    }
    return value.count == attribute.valueCount ? value : nil
  }
}
