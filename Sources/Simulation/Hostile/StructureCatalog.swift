import Format

/// Where an image has structures of each kind.
struct StructureCatalog {
  /// A node, or a block of one of the two node tables.
  struct Place {
    let table: OwnerKind
    /// -1 for a node.
    let level: Int
    let index: UInt64
  }

  private(set) var places: [LiedStructure: [Place]] = [:]
  /// Inodes by number, with their generations.
  private(set) var inodes: [NodeID] = []
  /// Numbers of internal nodes.
  private(set) var nodes: [UInt64] = []
  /// Headers of the nodes' and the cleaner's logs.
  private(set) var segmentHeaders: [UInt64] = []

  /// Finds everything.
  init(_ sealed: SealedImage) {
    for kind in [OwnerKind.inodeTable, .internalTable] {
      let height = sealed.height(kind)
      visit(sealed, kind, level: height - 1, index: 0)
    }
    let geometry = sealed.geometry
    for block in geometry.firstSegmentBlock..<geometry.segmentEnd {
      if let header = sealed.header(at: block), header.head != .foreground { segmentHeaders.append(block) }
    }
  }

  private mutating func add(_ structure: LiedStructure, _ place: Place) {
    places[structure, default: []].append(place)
  }

  private mutating func visit(_ sealed: SealedImage, _ kind: OwnerKind, level: Int, index: UInt64) {
    guard let page = sealed.tablePage(kind, level: level, index: index) else { return }
    add(kind == .inodeTable ? .inodeTable : .nodeTable, Place(table: kind, level: level, index: index))
    for slot in 0..<UInt64(Entry.perBlock) where Entry(page, at: Int(slot) * Entry.size).address != 0 {
      let child = index << 8 | slot
      if level > 0 {
        visit(sealed, kind, level: level - 1, index: child)
      } else if let node = sealed.tablePage(kind, level: -1, index: child) {
        kind == .inodeTable ? addInode(child, node) : addNode(child, node)
      }
    }
  }

  private mutating func addInode(_ number: UInt64, _ page: Page) {
    let inode = Inode(page)
    inodes.append(inode.id)
    let place = Place(table: .inodeTable, level: -1, index: number)
    add(inode.isDirectory ? .directoryInode : .inode, place)
    if inode.layout == .direct { add(.map, place) }
    if inode.attributeLength > 0 { add(.attributes, place) }
    if inode.isSymlink { add(.symlink, place) }
  }

  private mutating func addNode(_ number: UInt64, _ page: Page) {
    nodes.append(number)
    let place = Place(table: .internalTable, level: -1, index: number)
    if DirectoryLeaf(page).isValid {
      add(.directoryLeaf, place)
    } else if DirectoryIndex(page).isValid {
      add(.directoryIndex, place)
    } else if AttributeNode(page).isValid {
      add(.attributes, place)
    } else if AttributeValueNode(page).isValid {
      add(.attributeValue, place)
    } else if page.load(UInt8.self, at: 0) >= 0x20, page.load(UInt64.self, at: 24) >> 56 >= 0x20 {
      add(.symlink, place)
    } else {
      add(.map, place)
    }
  }
}
