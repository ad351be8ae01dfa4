import Format

/// Wrong values in nodes and in the node tables.
extension Liar {
  mutating func lieAboutNode(_ structure: LiedStructure) {
    guard let place = values.random.pick(catalog.places[structure] ?? []) else { return }
    let stranger = anyPlace ?? place
    let entry = sealed.entry(stranger.table, level: stranger.level, index: stranger.index) ?? Entry()
    let block = sealed.tablePage(stranger.table, level: stranger.level, index: stranger.index)
    let hash = DirectoryHash(key: sealed.superblock.hashKey)
    let isInode = place.table == .inodeTable
    edit({ $0.editTable(place.table, level: place.level, index: place.index, $1) }) { values, page in
      if values.random.chance(4), let block {
        // One structure in another's place.
        return page.copy(block.bytes(at: 0, count: Page.size), at: 0)
      }
      if values.random.chance(4) {
        return values.lie(page, at: values.random.below(Page.size), width: 1 << values.random.below(4))
      }
      switch structure {
      case .inode: values.lie(page, in: .inode)
      case .directoryInode: Self.lieAboutDirectory(&values, Inode(page), hash)
      case .inodeTable, .nodeTable: Self.lieAboutEntry(&values, page, 0..<4096, entry)
      case .map where isInode: Self.lieAboutEntry(&values, page, 256..<2304, entry)
      case .map: Self.lieAboutEntry(&values, page, 0..<4096, entry)
      case .directoryLeaf: Self.lieAboutLeaf(&values, page, hash)
      case .directoryIndex: Self.lieAboutIndex(&values, page)
      case .attributes where isInode: Self.lieAboutAttributes(&values, page, AttributeEntries(Inode(page)))
      case .attributes: Self.lieAboutAttributes(&values, page, AttributeEntries(AttributeNode(page)))
      case .attributeValue: values.lie(page, in: .valueNode)
      default: Self.lieAboutSymlink(&values, page)
      }
    }
  }

  private var anyPlace: StructureCatalog.Place? {
    mutating get {
      let structure = values.random.pick(LiedStructure.allCases) ?? .inode
      return values.random.pick(catalog.places[structure] ?? [])
    }
  }

  /// Puts a wrong value into one of the entries in some bytes, mostly one in use; `stranger` is an entry of
  /// another block.
  private static func lieAboutEntry(
    _ values: inout LyingValues, _ page: Page, _ bytes: Range<Int>, _ stranger: Entry
  ) {
    let all = Array(stride(from: bytes.lowerBound, to: bytes.upperBound, by: Entry.size))
    let used = all.filter { !Entry(page, at: $0).isHole }
    let isAny = values.random.chance(15)
    guard let at = values.random.pick(isAny || used.isEmpty ? all : used) else { return }
    switch values.random.below(8) {
    case 0: stranger.store(page, at: at)
    case 1: Entry(page, at: values.random.pick(used) ?? at).store(page, at: at)
    case 2, 3: Entry(address: values.node()).store(page, at: at)
    case 4:
      // The same reference everywhere.
      let entry = Entry(page, at: at)
      for place in all { entry.store(page, at: place) }
    default: values.lie(page, in: .entry, from: at)
    }
  }

  private static func lieAboutSymlink(_ values: inout LyingValues, _ page: Page) {
    let fields = Inode.fields
    switch values.random.below(5) {
    case 0: values.lie(page, at: fields.inlineLength.offset, width: fields.inlineLength.size)
    case 1: values.lie(page, at: fields.size.offset, width: fields.size.size)
    case 2: values.lie(page, at: fields.root.offset, width: fields.root.size)
    default: values.lie(page, at: Inode.inlineStart + values.random.below(8), width: 1)
    }
  }

  private static func lieAboutDirectory(_ values: inout LyingValues, _ inode: Inode, _ hash: DirectoryHash) {
    guard inode.layout == .inline, values.random.chance(50) else {
      return values.lie(inode.page, in: .inode)
    }
    let forger = RecordForger(DirectoryEntries(inode))
    let forged = forger.forge(&values, hash)
    inode.page.clear(at: Inode.inlineStart, count: inode.inlineRoom)
    forged.withUnsafeBytes { inode.page.copy($0, at: Inode.inlineStart) }
    inode.inlineLength = forged.count
  }

  private static func lieAboutLeaf(_ values: inout LyingValues, _ page: Page, _ hash: DirectoryHash) {
    guard values.random.chance(75) else { return values.lie(page, in: .directoryLeaf) }
    let leaf = DirectoryLeaf(page)
    let forged = RecordForger(DirectoryEntries(leaf)).forge(&values, hash)
    page.clear(at: DirectoryLeaf.headerSize)
    forged.withUnsafeBytes { page.copy($0, at: DirectoryLeaf.headerSize) }
    leaf.length = forged.count
  }

  private static func lieAboutIndex(_ values: inout LyingValues, _ page: Page) {
    guard values.random.chance(70) else { return values.lie(page, in: .index) }
    let index = DirectoryIndex(page)
    let slot = values.random.below(DirectoryIndex.slots)
    switch values.random.below(4) {
    case 0: values.lie(page, at: DirectoryIndex.headerSize + slot * 8, width: 8)
    case 1: index[slot] = index[values.random.below(DirectoryIndex.slots)]
    default:
      let flag = values.random.chance(50) ? DirectoryIndex.referenceFlag : 0
      let reference = values.node() | flag
      for slot in slot...min(255, slot + values.random.below(200)) { index[slot] = reference }
    }
  }

  private static func lieAboutAttributes(
    _ values: inout LyingValues, _ page: Page, _ entries: AttributeEntries
  ) {
    guard values.random.chance(70) else { return values.lie(page, in: .attributeNode) }
    var offsets: [Int] = []
    entries.forEach { offsets.append($0.offset) }
    guard let at = values.random.pick(offsets) else { return }
    if let attribute = entries.attribute(at: at), attribute.form == .apart, values.random.chance(60) {
      // The value's length, or one of its nodes.
      let content = at + AttributeEntries.fixedSize + attribute.name.count
      let node = content + ValueReference.nodesStart + 8 * values.random.below(attribute.valueNodes.count)
      switch values.random.below(3) {
      case 0: values.lie(page, at: content, width: 4)
      case 1: values.lie(page, at: node, width: 8)
      default: page.store(values.node(), at: node)
      }
      return
    }
    if values.random.chance(50) { return values.lie(page, in: .attribute, from: at) }
    // The name, or what follows it.
    let place = AttributeEntries.fixedSize + values.random.below(12)
    values.lie(page, at: at + place, width: values.random.chance(70) ? 1 : 4)
  }
}
