import ArgumentParser
import Format

/// All blocks that the newest checkpoint leads to, with what they hold.
struct Inventory {
  struct Place {
    let kind: BlockKind
    let block: UInt64
    let inode: UInt64
  }

  private(set) var places: [Place] = []
  private let file: ImageFile
  /// Blocks of internal nodes by number.
  private var nodes: [UInt64: UInt64] = [:]

  init(_ file: ImageFile) throws {
    self.file = file
    let superblock = try file.withPage(0) { try Superblock(decoding: $0) }
    let pack = try Self.newestPack(file, superblock)
    try walk(pack.internals) { this, number, entry in this.nodes[number] = entry.address }
    try walk(pack.inodes) { this, number, entry in
      this.add(.inode, entry.address, number)
      try file.withPage(entry.address) { try this.addContents(Inode($0)) }
    }
  }

  private static func newestPack(_ file: ImageFile, _ superblock: Superblock) throws -> CheckpointPack {
    let geometry = superblock.geometry
    var packs: [CheckpointPack] = []
    for slot in 0...1 {
      var bytes = try file.bytes(geometry.packBlock(slot: slot, copy: 0), count: Int(geometry.packBlocks))
      let pack = bytes.withUnsafeMutableBytes {
        CheckpointPack(decoding: $0, geometry: geometry, nonce: superblock.nonce)
      }
      if let pack { packs.append(pack) }
    }
    guard let newest = packs.max(by: { $0.sequence < $1.sequence }) else {
      throw ValidationError("there is no checkpoint")
    }
    return newest
  }

  private mutating func add(_ kind: BlockKind, _ block: UInt64, _ inode: UInt64) {
    places.append(Place(kind: kind, block: block, inode: inode))
  }

  /// Walks a table and calls `body` with each number in use.
  private mutating func walk(
    _ root: TableRoot, _ body: (inout Inventory, UInt64, Entry) throws -> Void
  ) throws {
    guard root.address != 0 else { return }
    try walk(root.address, level: Int(root.height) - 1, first: 0, body)
  }

  private mutating func walk(
    _ block: UInt64, level: Int, first: UInt64, _ body: (inout Inventory, UInt64, Entry) throws -> Void
  ) throws {
    add(.table, block, 0)
    for (slot, entry) in try entries(block) where entry.address != 0 {
      let number = first << 8 | UInt64(slot)
      if level > 0 {
        try walk(entry.address, level: level - 1, first: number, body)
      } else {
        try body(&self, number, entry)
      }
    }
  }

  private func entries(_ block: UInt64) throws -> [(Int, Entry)] {
    try file.withPage(block) { page in
      (0..<Entry.perBlock).map { ($0, Entry(page, at: $0 * Entry.size)) }
    }
  }

  private mutating func addContents(_ inode: Inode) throws {
    switch inode.layout {
    case .inline: break
    case .direct:
      for index in 0..<Inode.directEntries {
        let entry = Entry(inode.page, at: inode.directOffset(index))
        if entry.address != 0 { add(.data, entry.address, inode.number) }
      }
    case .tree: try addMap(inode.root, height: inode.height, inode.number)
    case .node where inode.isDirectory: try addDirectory(inode.root, inode.number)
    case .node: break
    }
  }

  private mutating func addMap(_ number: UInt64, height: Int, _ inode: UInt64) throws {
    guard let block = nodes[number] else { return }
    add(.map, block, inode)
    for (_, entry) in try entries(block) where entry.address != 0 {
      if height > 1 {
        try addMap(entry.address, height: height - 1, inode)
      } else {
        add(.data, entry.address, inode)
      }
    }
  }

  private mutating func addDirectory(_ reference: UInt64, _ inode: UInt64) throws {
    guard let block = nodes[reference & ~DirectoryIndex.referenceFlag] else { return }
    add(.directory, block, inode)
    guard reference & DirectoryIndex.referenceFlag != 0 else { return }
    let children = try file.withPage(block) { page in
      Set((0..<DirectoryIndex.slots).map { DirectoryIndex(page)[$0] })
    }
    for child in children.sorted() where child != 0 { try addDirectory(child, inode) }
  }
}
