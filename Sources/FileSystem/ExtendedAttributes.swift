import Format

/// Extended attributes: in the inode while they fit beside its contents, then in one attribute node.
extension FileSystem {
  private func attributeNode(_ inode: Inode) throws(Stop) -> AttributeNode? {
    guard inode.attributeNode != 0 else { return nil }
    let node = AttributeNode(try node(inode.attributeNode, as: .attributes))
    guard node.owner == inode.number else { throw .fail(Code.io) }
    return node
  }

  /// The attribute called `name`, nil when there is none.
  func findAttribute(_ inode: Inode, _ name: UnsafeRawBufferPointer) throws(Stop) -> AttributeEntries
    .Attribute?
  {
    let entries = AttributeEntries(inode)
    if let found = entries.find(name) { return found }
    guard entries.isValid else { throw .fail(Code.io) }
    guard let node = try attributeNode(inode) else { return nil }
    return AttributeEntries(node).find(name)
  }

  /// Calls `body` for each attribute.
  func forEachAttribute(_ inode: Inode, _ body: (AttributeEntries.Attribute) -> Void) throws(Stop) {
    let node = try attributeNode(inode)
    guard AttributeEntries(inode).isValid else { throw .fail(Code.io) }
    AttributeEntries(inode).forEach(body)
    if let node { AttributeEntries(node).forEach(body) }
  }

  private func fitsInode(_ inode: Inode, _ length: Int) -> Bool {
    inode.inlineLength + inode.attributeLength + length <= Inode.inlineCapacity
  }

  /// Makes sure that `setAttribute` will find room and needs nothing more from the device.
  func prepareAttribute(_ inode: Inode, _ name: UnsafeRawBufferPointer, value: Int) throws(Stop) {
    try prepareNodes(2)
    let node = try attributeNode(inode)
    let length = AttributeEntries.length(name: name.count, value: value)
    let inInode = AttributeEntries(inode).find(name)?.length ?? 0
    if fitsInode(inode, length - inInode) { return }
    let inNode = node.flatMap { AttributeEntries($0).find(name)?.length } ?? 0
    if (node?.length ?? 0) - inNode + length <= AttributeNode.capacity { return }
    // At recovery the file's bytes may still lie in the inode although they had left it when the record was made.
    guard !isReady, inode.isRegular, inode.layout == .inline else { throw .fail(Code.noSpace) }
    try makeMapped(inode)
    guard fitsInode(inode, length - inInode) else { throw .fail(Code.noSpace) }
  }

  /// Sets an attribute, whether it is there or not. `prepareAttribute` came before.
  func setAttribute(_ inode: Inode, _ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer)
    throws(Stop)
  {
    try removeAttribute(inode, name)
    modify(inode.page)
    let length = AttributeEntries.length(name: name.count, value: value.count)
    if fitsInode(inode, length) {
      inode.attributeLength += length
      AttributeEntries.store(
        name: name, value: value, into: inode.page, at: Page.size - inode.attributeLength)
      return
    }
    let existing = try attributeNode(inode)
    let node = if let existing { existing } else { try newAttributeNode(inode) }
    guard node.length + length <= AttributeNode.capacity else { throw .fail(Code.noSpace) }
    modify(node.page)
    AttributeEntries.store(
      name: name, value: value, into: node.page, at: AttributeNode.headerSize + node.length)
    node.length += length
  }

  private func newAttributeNode(_ inode: Inode) throws(Stop) -> AttributeNode {
    let fresh = try newNode()
    let node = AttributeNode(fresh.page)
    node.initialize(owner: inode.number)
    cache.frames[Int(cache.frame(of: fresh.page))].role = .attributes
    inode.attributeNode = fresh.number
    return node
  }

  /// Removes an attribute if it is there.
  func removeAttribute(_ inode: Inode, _ name: UnsafeRawBufferPointer) throws(Stop) {
    let entries = AttributeEntries(inode)
    if let found = entries.find(name) {
      modify(inode.page)
      let length = found.length
      inode.page.move(from: entries.start, to: entries.start + length, count: found.offset - entries.start)
      inode.page.clear(at: entries.start, count: length)
      inode.attributeLength -= length
      return
    }
    guard let node = try attributeNode(inode) else { return }
    let inNode = AttributeEntries(node)
    guard let found = inNode.find(name) else { return }
    let length = found.length
    guard node.length > length else {
      freeNode(.internalNode, inode.attributeNode)
      modify(inode.page)
      inode.attributeNode = 0
      return
    }
    modify(node.page)
    let next = found.offset + length
    node.page.move(from: next, to: found.offset, count: inNode.end - next)
    node.page.clear(at: inNode.end - length, count: length)
    node.length -= length
  }
}
