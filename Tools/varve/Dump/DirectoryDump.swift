import Format
import JSONValue

/// The names of a directory, in the order readdir has them.
struct DirectoryDump {
  private struct Name {
    let name: NameBytes
    let node: NodeID
    /// DT_* of dirent(3).
    let type: UInt8
    let cookie: UInt64
  }

  private let volume: Volume
  private let pack: CheckpointPack
  private var names: [Name] = []
  /// Nodes that may still be read: a directory with more than the filesystem has blocks leads in a circle.
  private var nodesLeft: UInt64

  init(_ number: UInt64, in volume: Volume) throws(DumpError) {
    self.volume = volume
    pack = try volume.checkpoint()
    nodesLeft = volume.geometry.blockCount
    let block = try volume.inode(number, of: pack)
    guard block.read({ Inode($0).isDirectory }) else {
      throw DumpError("inode \(number) is no directory; see it with: varve dump DEVICE inode \(number)")
    }
    if block.read({ Inode($0).layout }) == .node {
      try walk(block.read { Inode($0).root })
    } else {
      block.read { add(DirectoryEntries(Inode($0))) }
    }
  }

  /// Adds the names under a reference to a leaf or an index.
  private mutating func walk(_ reference: UInt64) throws(DumpError) {
    let number = reference & ~DirectoryIndex.referenceFlag
    let isIndex = reference & DirectoryIndex.referenceFlag != 0
    guard nodesLeft > 0 else { throw DumpError("the directory leads in a circle; run fsck.varve") }
    nodesLeft -= 1
    let block = try volume.node(number, in: .internal, of: pack)
    guard block.read({ isIndex ? DirectoryIndex($0).isValid : DirectoryLeaf($0).isValid }) else {
      throw DumpError("directory node \(number) contradicts itself; run fsck.varve")
    }
    guard isIndex else { return block.read { add(DirectoryEntries(DirectoryLeaf($0))) } }
    let references = block.read { page in (0..<DirectoryIndex.slots).map { DirectoryIndex(page)[$0] } }
    // Neighbouring slots may refer to one leaf.
    for (slot, reference) in references.enumerated() where reference != 0 {
      if slot == 0 || references[slot - 1] != reference { try walk(reference) }
    }
  }

  private mutating func add(_ entries: DirectoryEntries) {
    var offset = entries.start
    while let record = entries.record(at: offset) {
      names.append(
        Name(name: NameBytes(record.name), node: record.node, type: record.type, cookie: record.key))
      offset += record.length
    }
  }

  private static let types: [UInt8: String] = [
    1: "fifo", 2: "character device", 4: "directory", 6: "block device", 8: "file", 10: "symlink",
    12: "socket",
  ]

  private static func text(ofType type: UInt8) -> String { types[type] ?? "type \(type)" }

  var json: JSON {
    .object([
      (
        "entries",
        .array(
          names.map {
            .object(
              $0.name.members() + [
                ("inode", .integer($0.node.number)), ("generation", .integer($0.node.generation)),
                ("type", .text(Self.text(ofType: $0.type))), ("cookie", .integer($0.cookie)),
              ])
          })
      )
    ])
  }

  var text: String {
    guard !names.isEmpty else { return "The directory is empty." }
    var table = Table("Inode", "Type", "Cookie", "Name")
    for name in names {
      table.add(name.node.text, Self.text(ofType: name.type), "\(name.cookie)", name.name.text)
    }
    return table.text
  }
}
