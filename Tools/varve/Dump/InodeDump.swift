import Format
import JSONValue
import ToolSupport

/// An inode: its attributes, its extended attributes, and where its data lies.
struct InodeDump {
  private struct Attribute {
    let name: NameBytes
    let size: Int
  }

  private let fields: Fields
  private let attributes: [Attribute]
  private let extents: [Extent]

  init(_ number: UInt64, in volume: Volume) throws(DumpError) {
    let pack = try volume.checkpoint()
    let block = try volume.inode(number, of: pack)
    let entry = try volume.entry(number, in: .inode, of: pack)
    fields = block.read { Fields(Inode($0), block: entry.address) }
    extents = try block.read { page throws(DumpError) in
      try MapDump(Inode(page), in: volume, of: pack).extents
    }
    attributes = try Self.attributes(of: block, in: volume, pack)
  }

  private static func attributes(
    of block: DumpedBlock, in volume: Volume, _ pack: CheckpointPack
  ) throws(DumpError) -> [Attribute] {
    let found = block.read { list(AttributeEntries(Inode($0))) }
    let further = block.read { Inode($0).attributeNode }
    return try found + attributes(further, depth: 0, in: volume, pack)
  }

  /// The attributes in a node, or in the nodes below an index.
  private static func attributes(
    _ reference: UInt64, depth: Int, in volume: Volume, _ pack: CheckpointPack
  ) throws(DumpError) -> [Attribute] {
    guard reference != 0 else { return [] }
    let number = reference & ~DirectoryIndex.referenceFlag
    let node = try volume.node(number, in: .internal, of: pack)
    if reference & DirectoryIndex.referenceFlag == 0 {
      guard node.read({ AttributeNode($0).isValid }) else { throw contradicts(number) }
      return node.read { list(AttributeEntries(AttributeNode($0))) }
    }
    guard node.read({ DirectoryIndex($0).isValid }), depth < DirectoryIndex.maximumDepth else {
      throw contradicts(number)
    }
    let references = node.read { page in (0..<DirectoryIndex.slots).map { DirectoryIndex(page)[$0] } }
    var found: [Attribute] = []
    var previous: UInt64 = 0
    for reference in references where reference != previous {
      previous = reference
      found += try attributes(reference, depth: depth + 1, in: volume, pack)
    }
    return found
  }

  private static func contradicts(_ node: UInt64) -> DumpError {
    DumpError("attribute node \(node) contradicts itself; run fsck.varve")
  }

  private static func list(_ entries: AttributeEntries) -> [Attribute] {
    var list: [Attribute] = []
    entries.forEach { list.append(Attribute(name: NameBytes($0.name), size: $0.valueCount)) }
    return list
  }

  var json: JSON {
    .object([
      ("inode", fields.json),
      (
        "attributes",
        .array(attributes.map { .object($0.name.members() + [("size", .integer($0.size))]) })
      ),
      ("extents", .array(extents.map(\.json))),
    ])
  }

  var text: String {
    var parts = [fields.text]
    if !attributes.isEmpty {
      var table = Table("Attribute", "Bytes")
      for attribute in attributes { table.add(attribute.name.text, "\(attribute.size)") }
      parts.append(table.text)
    }
    if !extents.isEmpty {
      var table = Table("File block", "Block", "Count")
      for extent in extents {
        table.add(
          "\(extent.index)", extent.address == 0 ? "promised" : "\(extent.address)", "\(extent.count)")
      }
      parts.append(table.text)
    }
    return parts.joined(separator: "\n\n")
  }
}

extension Fields {
  /// The attributes of an inode that lies at `block`.
  init(_ inode: Inode, block: UInt64) {
    add("number", inode.number)
    add("generation", inode.generation)
    add("block", block)
    add("mode", inode.mode, "0\(String(inode.mode, radix: 8))")
    add("links", inode.links)
    add("uid", inode.uid)
    add("gid", inode.gid)
    if [0o020000, 0o060000].contains(inode.mode & 0o170000) { add(hexadecimal: inode.device, "device") }
    add("layout", "\(inode.layout)")
    if inode.layout == .tree { add("height", inode.height) }
    if inode.layout == .tree || inode.layout == .node {
      add("root", inode.root & ~DirectoryIndex.referenceFlag)
    }
    add("size", inode.size)
    add("blocks", inode.blocks)
    add("inline_bytes", inode.inlineLength)
    for (name, time) in [
      ("accessed", inode.accessTime), ("modified", inode.modificationTime), ("changed", inode.changeTime),
      ("born", inode.birthTime),
    ] {
      add(name, time, timeText(time))
    }
    if inode.isDirectory {
      add("parent", NodeID(raw: inode.parent).text)
      add("entries", inode.entryCount)
    }
    if inode.isSymlink, inode.layout == .inline {
      let target = NameBytes(inode.page.bytes(at: Inode.inlineStart, count: inode.inlineLength))
      for member in target.members("target") { add(member.name, member.value) }
    }
    if inode.detachedRoot != 0 { add("detached_root", inode.detachedRoot) }
  }
}
