import Format
import Glibc

/// Extended attributes: in the inode while they fit beside its contents, otherwise in attribute nodes, found
/// by the hash of their names like names in a directory. A value too long for an attribute node is stored
/// apart, in value nodes, which never change.
///
/// Owns the contents of attribute nodes and value nodes, and the attributes in inodes. It promises that a
/// listing done in steps misses no attribute that exists all the while, even one that is set again meanwhile.
final class ExtendedAttributes {
  let waiting: Waiting
  let volume: Volume
  let loader: Loader
  let nodes: NodeStore
  let directories: Directories

  init(directories: Directories) {
    self.directories = directories
    nodes = directories.nodes
    waiting = nodes.waiting
    volume = nodes.volume
    loader = nodes.loader
  }

  /// New nodes that `setAttribute` takes, at most: those of the longest value.
  private static let nodesPerAttribute = AttributeValueNode.count(of: AttributeEntries.maximumValue)
  /// Blocks charged for the attribute nodes and indices that a new attribute may take.
  private static let blocksPerAttribute: UInt64 = 8

  // MARK: Finding

  /// An attribute, and the attribute node it lies in; nil when it lies in the inode.
  struct FoundAttribute {
    let attribute: AttributeEntries.Attribute
    let node: AttributeNode?
  }

  private func attributeNode(_ number: UInt64, of inode: Inode) throws(Stop) -> AttributeNode {
    let node = AttributeNode(try nodes.node(number, as: .attributes))
    guard node.owner == inode.number else { throw .fail(EIO) }
    return node
  }

  private func attributePath(_ inode: Inode, _ name: UnsafeRawBufferPointer) throws(Stop) -> DirectoryPath {
    try directories.path(from: inode.attributeNode, of: inode, volume.hash.of(name))
  }

  /// The attribute called `name`, nil when there is none.
  func findAttribute(_ inode: Inode, _ name: UnsafeRawBufferPointer) throws(Stop) -> FoundAttribute? {
    let entries = AttributeEntries(inode)
    if let found = entries.find(name) { return FoundAttribute(attribute: found, node: nil) }
    guard entries.isValid else { throw .fail(EIO) }
    guard inode.attributeNode != 0 else { return nil }
    let leaf = try attributePath(inode, name).leaf
    guard leaf != 0 else { return nil }
    let node = try attributeNode(leaf, of: inode)
    return AttributeEntries(node).find(name).map { FoundAttribute(attribute: $0, node: node) }
  }

  /// An attribute's value. The nodes of a value stored apart are all read at the same time.
  func value(of attribute: AttributeEntries.Attribute, in inode: Inode) throws(Stop) -> [UInt8] {
    guard attribute.form == .apart else { return Array(attribute.content) }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(attribute.valueCount)
    var isMissing = false
    for (index, number) in attribute.valueNodes.enumerated() {
      do throws(Stop) {
        let node = AttributeValueNode(try nodes.node(number, as: .attributeValue))
        guard node.owner == inode.number,
          node.length == AttributeValueNode.length(of: attribute.valueCount, at: index)
        else { throw .fail(EIO) }
        bytes.append(contentsOf: node.bytes)
      } catch .again { isMissing = true }
    }
    guard !isMissing else { throw .again(.read) }
    guard bytes.count == attribute.valueCount else { throw loader.damaged(inode.page) }
    return bytes
  }

  /// Calls `body` for the attributes of one node: those whose names have at least the hash `first`.
  /// - Returns: the hash from which to go on; nil when that was the last node.
  func forEachAttribute(
    _ inode: Inode, from first: UInt64, _ body: (AttributeEntries.Attribute) -> Void
  ) throws(Stop) -> UInt64? {
    guard inode.attributeNode != 0, first < 1 << DirectoryHash.bits else { return nil }
    let path = try directories.path(from: inode.attributeNode, of: inode, first)
    if path.leaf != 0 {
      AttributeEntries(try attributeNode(path.leaf, of: inode)).forEach { attribute in
        // The node may cover more hashes than the former one there, and so hold names listed already.
        if volume.hash.of(attribute.name) >= first { body(attribute) }
      }
    }
    guard let last = path.steps.last else { return nil }
    return Directories.nextHash(first, depth: last.depth, slot: last.index.range(of: last.slot).upperBound)
  }

  // MARK: Setting

  /// In which form an attribute is stored, and whether in the inode.
  private struct Placement {
    var form: AttributeEntries.Form
    var isInInode: Bool
    /// The bytes that its entry takes.
    var length: Int
  }

  /// Where an attribute is to be stored. One that lies in an attribute node stays in attribute nodes, so that
  /// a listing under way does not miss it.
  private func placement(
    _ inode: Inode, _ name: UnsafeRawBufferPointer, value: Int, replacing found: FoundAttribute?
  ) -> Placement {
    let isApart = value > AttributeEntries.longestInlineValue
    let whole = AttributeEntries.length(name: name.count, content: value)
    let apart = AttributeEntries.length(
      name: name.count, content: AttributeEntries.referenceLength(value: value))
    guard found?.node == nil else {
      return Placement(form: isApart ? .apart : .inline, isInInode: false, length: isApart ? apart : whole)
    }
    let room = Inode.inlineCapacity - inode.inlineLength - inode.attributeLength
    let roomThen = room + (found?.attribute.length ?? 0)
    if whole <= roomThen { return Placement(form: .inline, isInInode: true, length: whole) }
    guard isApart else { return Placement(form: .inline, isInInode: false, length: whole) }
    return Placement(form: .apart, isInInode: apart <= roomThen, length: apart)
  }

  /// Blocks that setting an attribute takes.
  func attributeBlocks(_ inode: Inode, _ name: UnsafeRawBufferPointer, value: Int) throws(Stop) -> UInt64 {
    let found = try findAttribute(inode, name)
    let placement = placement(inode, name, value: value, replacing: found)
    let apart = placement.form == .apart ? UInt64(AttributeValueNode.count(of: value)) : 0
    if placement.isInInode { return apart }
    guard inode.attributeNode != 0 else { return apart + 1 }
    let leaf = try attributePath(inode, name).leaf
    guard leaf != 0 else { return apart + 1 }
    let node = try attributeNode(leaf, of: inode)
    return fits(node, placement.length, replacing: found) ? apart : apart + Self.blocksPerAttribute
  }

  private func fits(_ node: AttributeNode, _ length: Int, replacing found: FoundAttribute?) -> Bool {
    let replaced = found.flatMap { $0.node == nil ? nil : $0.attribute.length } ?? 0
    return node.length - replaced + length <= AttributeNode.capacity
  }

  /// Makes sure that `setAttribute` needs to read and allocate nothing more: splits attribute nodes until the
  /// attribute fits.
  func prepareAttribute(_ inode: Inode, _ name: UnsafeRawBufferPointer, value: Int) throws(Stop) {
    let found = try findAttribute(inode, name)
    let placement = placement(inode, name, value: value, replacing: found)
    if !placement.isInInode {
      try prepareAttributeNode(inode, name, length: placement.length, replacing: found)
    }
    try nodes.prepareNodes(Self.nodesPerAttribute)
  }

  private func prepareAttributeNode(
    _ inode: Inode, _ name: UnsafeRawBufferPointer, length: Int, replacing found: FoundAttribute?
  ) throws(Stop) {
    while true {
      try nodes.prepareNodes(3)
      let path = try attributePath(inode, name)
      guard path.leaf != 0 else {
        try makeAttributeNode(inode, path)
        continue
      }
      let node = try attributeNode(path.leaf, of: inode)
      if fits(node, length, replacing: found) { return }
      try splitAttributes(inode, path, node)
    }
  }

  private func newAttributeNode(_ inode: Inode) throws(Stop) -> (number: UInt64, node: AttributeNode) {
    let fresh = try nodes.newNode(as: .attributes)
    let node = AttributeNode(fresh.page)
    node.initialize(owner: inode.number)
    return (fresh.number, node)
  }

  /// Adds an empty attribute node where there is none.
  private func makeAttributeNode(_ inode: Inode, _ path: DirectoryPath) throws(Stop) {
    directories.hang(try newAttributeNode(inode).number, at: path, of: inode, \.attributeNode)
  }

  /// Moves the upper half of an attribute node's hash range into a new node, as with a directory's leaf.
  private func splitAttributes(_ inode: Inode, _ path: DirectoryPath, _ node: AttributeNode) throws(Stop) {
    guard let (index, depth, slots) = try directories.upperHalf(path, of: inode, \.attributeNode) else {
      return
    }
    let fresh = try newAttributeNode(inode)
    nodes.modify(node.page)
    nodes.modify(index.page)
    moveAttributes(from: node, to: fresh.node) { name in
      DirectoryHash.slot(volume.hash.of(name), depth: depth) >= slots.lowerBound
    }
    for slot in slots { index[slot] = fresh.number }
  }

  private func moveAttributes(
    from node: AttributeNode, to fresh: AttributeNode, where moves: (UnsafeRawBufferPointer) -> Bool
  ) {
    var offset = AttributeNode.headerSize
    while let attribute = AttributeEntries(node).attribute(at: offset) {
      guard moves(attribute.name) else {
        offset += attribute.length
        continue
      }
      AttributeEntries.insert(
        name: attribute.name, attribute.form, content: attribute.content, into: fresh)
      AttributeEntries.remove(attribute, from: node)
    }
  }

  /// Sets an attribute, whether it exists or not. The caller has called `prepareAttribute`.
  func setAttribute(_ inode: Inode, _ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer)
    throws(Stop)
  {
    let found = try findAttribute(inode, name)
    let placement = placement(inode, name, value: value.count, replacing: found)
    if let found { takeOut(found, of: inode) }
    guard placement.form == .apart else {
      return try insertAttribute(inode, name, .inline, value, inInode: placement.isInInode)
    }
    let nodes = try storeValue(value, of: inode)
    let content = AttributeEntries.reference(value: value.count, nodes: nodes)
    let result: Result<Void, Stop> = content.withUnsafeBytes { bytes in
      do throws(Stop) {
        try insertAttribute(inode, name, .apart, bytes, inInode: placement.isInInode)
        return .success(())
      } catch { return .failure(error) }
    }
    try result.get()
  }

  private func storeValue(_ value: UnsafeRawBufferPointer, of inode: Inode) throws(Stop) -> [UInt64] {
    var numbers: [UInt64] = []
    for index in 0..<AttributeValueNode.count(of: value.count) {
      let fresh = try nodes.newNode(as: .attributeValue)
      let node = AttributeValueNode(fresh.page)
      node.initialize(owner: inode.number, part: index, of: value)
      numbers.append(fresh.number)
    }
    return numbers
  }

  private func insertAttribute(
    _ inode: Inode, _ name: UnsafeRawBufferPointer, _ form: AttributeEntries.Form,
    _ content: UnsafeRawBufferPointer, inInode: Bool
  ) throws(Stop) {
    guard !inInode else {
      nodes.modify(inode.page)
      return AttributeEntries.insert(name: name, form, content: content, into: inode)
    }
    let node = try attributeNode(try attributePath(inode, name).leaf, of: inode)
    nodes.modify(node.page)
    AttributeEntries.insert(name: name, form, content: content, into: node)
  }

  // MARK: Removing

  /// Removes an attribute if it exists, and frees the nodes that are empty then.
  func removeAttribute(_ inode: Inode, _ name: UnsafeRawBufferPointer) throws(Stop) {
    guard let found = try findAttribute(inode, name) else { return }
    takeOut(found, of: inode)
    guard let node = found.node, node.length == 0 else { return }
    if directories.freeLeaf(try attributePath(inode, name)) {
      nodes.modify(inode.page)
      inode.attributeNode = 0
    }
  }

  /// Removes an attribute's entry and frees its value nodes; an attribute node left empty is not freed.
  private func takeOut(_ found: FoundAttribute, of inode: Inode) {
    for number in found.attribute.valueNodes { nodes.freeNode(.internalNode, number) }
    if let node = found.node {
      nodes.modify(node.page)
      AttributeEntries.remove(found.attribute, from: node)
    } else {
      nodes.modify(inode.page)
      AttributeEntries.remove(found.attribute, from: inode)
    }
  }

  /// Does a step of freeing the attributes of an inode that is being freed: frees one attribute node and the
  /// values of its attributes, or the value of one attribute in the inode.
  /// - Returns: false when there is nothing more to free.
  func freeAttributesStep(_ inode: Inode) throws(Stop) -> Bool {
    if inode.attributeNode != 0 {
      let path = try directories.lastPath(from: inode.attributeNode, of: inode)
      if path.leaf != 0 {
        AttributeEntries(try attributeNode(path.leaf, of: inode)).forEach { attribute in
          for number in attribute.valueNodes { nodes.freeNode(.internalNode, number) }
        }
      }
      nodes.modify(inode.page)
      if directories.freeLeaf(path) { inode.attributeNode = 0 }
      // The next step reads other nodes.
      waiting.releasePins()
      return true
    }
    guard let apart = AttributeEntries(inode).first(where: { $0.form == .apart }) else { return false }
    takeOut(FoundAttribute(attribute: apart, node: nil), of: inode)
    return true
  }

  // MARK: Room in the inode

  /// Recovery: makes room for a file's bytes in its inode, by moving attributes to nodes. They may lie in the
  /// inode although they did not when the record was made, because the file was longer then and had a map.
  func prepareInlineRoom(_ inode: Inode, for length: Int) throws(Stop) {
    while inode.layout == .inline, length > inode.inlineRoom, length <= Inode.inlineCapacity,
      let attribute = AttributeEntries(inode).first(where: { _ in true })
    {
      try prepareAttributeNode(inode, attribute.name, length: attribute.length, replacing: nil)
      let node = try attributeNode(try attributePath(inode, attribute.name).leaf, of: inode)
      nodes.modify(node.page)
      AttributeEntries.insert(
        name: attribute.name, attribute.form, content: attribute.content, into: node)
      nodes.modify(inode.page)
      AttributeEntries.remove(attribute, from: inode)
    }
  }
}
