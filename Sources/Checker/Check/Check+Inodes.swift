import Format

extension Check {
  /// Walks the inode table and checks every inode and its contents, except the records of directories.
  func checkInodes() {
    let limit = Double(max(pack.inodes.limit, 1))
    walkTable(.inodeTable, pack.inodes, into: inodeLeaves) { first, page in
      let summaries = inodes.addLeaf(first >> 8)
      var wanted: [BlockReference] = []
      for offset in 0..<Entry.perBlock {
        let entry = Entry(page, at: offset * Entry.size)
        guard checkTableEntry(entry, first + UInt64(offset), .inodeTable, pack.inodes) else { continue }
        summaries[offset].flags = .used
        summaries[offset].generation = entry.stamp
        inodeNumbers.add(first + UInt64(offset))
        wanted.append(BlockReference(entry: entry, tag: first + UInt64(offset)))
      }
      fetch(
        wanted, claiming: true, .inode, place: { .inode($0) }, repairs: { Self.repairs(ofInode: $0) }
      ) { number, page in
        checkInode(Inode(page), number, summaries + Int(number & 0xFF))
      }
      options.progress("inodes", Double(first) / limit)
    }
    checkUsedCount(pack.inodes, .inodeTable, inodeNumbers.used)
  }

  /// The repairs of an inode that cannot be read: the two fixed directories are remade, others are given up.
  private static func repairs(ofInode number: UInt64) -> [Repair] {
    let isFixed = number == NodeID.root.number || number == NodeID.orphans.number
    return [isFixed ? .remakeDirectory(number) : .clearInode(number)]
  }

  private func checkInode(_ inode: Inode, _ number: UInt64, _ summary: UnsafeMutablePointer<InodeSummary>) {
    guard inode.isValid(number: number) else {
      noteDamage(
        .inode, .inode(number), "its fields contradict each other", repairs: Self.repairs(ofInode: number))
      return
    }
    summary.pointee.flags.insert(.readable)
    summary.pointee.links = inode.links
    summary.pointee.type = UInt8((inode.mode >> 12) & 0xF)
    if inode.generation != summary.pointee.generation {
      note(
        Finding(
          .inodeGeneration, .inconsistency, .inode(number),
          "generation \(inode.generation), the table says \(summary.pointee.generation)"))
    }
    checkAttributes(inode, number)
    if inode.isDirectory {
      directories[number] = DirectorySummary(parent: inode.parent)
      report.directories += 1
    } else {
      report.files += 1
    }
    checkContents(inode, number)
    if inode.detachedRoot != 0 { summary.pointee.flags.insert(.detached) }
  }

  /// Walks the inode's map and its detached tree, and compares size and block count with them.
  private func checkContents(_ inode: Inode, _ number: UInt64) {
    var walk = MapWalk(inode: number, size: inode.size)
    switch inode.layout {
    case .inline: break
    case .direct: walkLowest(inode.page, at: Inode.inlineStart, Inode.directEntries, first: 0, &walk)
    case .tree: walkMap(inode.root, height: inode.height, first: 0, &walk)
    case .node: if inode.isSymlink { checkTarget(inode, number) }
    }
    var cut = MapWalk(inode: number, size: .max)
    if inode.detachedRoot != 0 { walkMap(inode.detachedRoot, height: inode.detachedHeight, first: 0, &cut) }
    promisedBlocks += walk.promised + cut.promised
    guard walk.isComplete, cut.isComplete else { return noteUnfreeable(inode, number, cut) }
    let counted = walk.count + cut.count
    if inode.blocks != counted { noteBlocks(number, inode.blocks, counted: counted) }
    guard let last = walk.lastWritten, last >= walk.sizeInBlocks else { return }
    let size = (last + 1) * UInt64(Page.size)
    note(
      Finding(
        .size, .inconsistency, .inode(number), "\(inode.size) bytes, but block \(last) is written",
        repairs: [.setSize(inode: number, size)]))
  }

  /// Reports an orphan, or a detached tree, that cannot be freed because its map cannot be read.
  private func noteUnfreeable(_ inode: Inode, _ number: UInt64, _ cut: MapWalk) {
    if inode.links == 0 {
      note(
        Finding(
          .orphan, .damage, .inode(number), "about to be freed, and its map is damaged",
          repairs: givingUp(.clearInode(number))))
    } else if !cut.isComplete {
      note(
        Finding(
          .orphan, .damage, .inode(number), "its detached tree is damaged and cannot be freed",
          repairs: givingUp(.dropCutOff(inode: number))))
    }
  }

  private func noteBlocks(_ number: UInt64, _ blocks: UInt64, counted: UInt64) {
    note(
      Finding(
        .blockCount, .inconsistency, .inode(number), "\(blocks) blocks, counted \(counted)",
        repairs: [.setBlocks(inode: number, counted)], isSafe: true))
  }

  /// A long symlink's target, in a node of its own.
  private func checkTarget(_ inode: Inode, _ number: UInt64) {
    guard inode.root & DirectoryIndex.referenceFlag == 0 else {
      noteDamage(.node, .inode(number), "a directory index under a symlink")
      return
    }
    fetchNode(inode.root, inode: number) { _ in }
    guard inode.size > UInt64(Page.size) else { return }
    note(Finding(.size, .inconsistency, .inode(number), "a symlink of \(inode.size) bytes in one node"))
  }
}
