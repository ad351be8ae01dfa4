import Format

extension Check {
  /// Checks that the two fixed directories exist, the parents of directories, and that every directory is
  /// reachable from the root.
  func checkNames() {
    for id in [NodeID.root, NodeID.orphans] where directories[id.number] == nil {
      guard inodes.find(id.number)?.pointee.flags.contains(.readable) ?? isWhole else { continue }
      let isDamaged = inodes.find(id.number).map { !$0.pointee.flags.contains(.readable) } ?? false
      noteDamage(
        .inode, .inode(id.number), "the \(id == .root ? "root" : "orphan") directory is not there",
        repairs: isDamaged ? [] : [.remakeDirectory(id.number)])
    }
    let cycles = directoriesInCycles()
    for number in directories.keys.sorted() {
      guard let summary = directories[number] else { continue }
      checkParent(number, summary)
    }
    for number in cycles {
      guard let summary = directories[number], let inode = inodes.find(number) else { continue }
      let id = NodeID(number: number, generation: inode.pointee.generation)
      note(
        Finding(
          .directoryCycle, .inconsistency, .inode(number), "the directory lies inside itself",
          repairs: [
            .dropRecord(directory: summary.foundIn, key: summary.foundKey, node: id.raw),
            .reattach(inode: number),
          ]))
    }
  }

  private func checkParent(_ number: UInt64, _ summary: DirectorySummary) {
    let isFixed = number == NodeID.root.number || number == NodeID.orphans.number
    let container = isFixed ? number : summary.foundIn
    guard container != 0 else { return }
    let expected =
      isFixed
      ? NodeID(number: number, generation: 0).raw
      : NodeID(number: container, generation: inodes.find(container)?.pointee.generation ?? 0).raw
    guard summary.parent != expected else { return }
    note(
      Finding(
        .directoryParent, .inconsistency, .inode(number),
        "names directory \(NodeID(raw: summary.parent).number) its parent, its name is in \(container)",
        repairs: [.setParent(directory: number, expected)], isSafe: true))
  }

  /// One directory of each cycle of names.
  private func directoriesInCycles() -> [UInt64] {
    var walkOf: [UInt64: UInt64] = [:]
    var found: [UInt64] = []
    for start in directories.keys.sorted() {
      var number = start
      while number != 0, walkOf[number] == nil {
        walkOf[number] = start
        number = directories[number]?.foundIn ?? 0
      }
      // The walk has come back to a directory that it visited itself: a cycle not found before.
      if number != 0, walkOf[number] == start { found.append(number) }
    }
    return found
  }

  /// Compares links with names, and finds inodes without a name.
  func checkLinks() {
    inodes.forEach { number, summary in
      let isFixed = number == NodeID.root.number || number == NodeID.orphans.number
      guard summary.pointee.flags.contains(.readable) else { return }
      if isFixed || summary.pointee.names > 0 {
        checkLinkCount(number, summary.pointee, directories[number])
      } else if summary.pointee.links > 0 {
        note(
          Finding(
            .unreachable, .inconsistency, .inode(number), "no directory has a name for it",
            repairs: givingUp(.reattach(inode: number))))
      } else if let held = directories[number]?.names, held > 0 {
        note(
          Finding(
            .orphan, .inconsistency, .inode(number), "about to be freed, but holds \(held) names",
            repairs: [.reattach(inode: number)]))
      }
      if !isFixed { checkOrphanhood(number, summary.pointee) }
    }
  }

  /// An inode without links or with a detached tree must be in the orphan directory, or it is never freed.
  private func checkOrphanhood(_ number: UInt64, _ summary: InodeSummary) {
    guard !summary.flags.contains(.orphan) else { return }
    let isNameless = summary.links == 0 && summary.names == 0 && (directories[number]?.names ?? 0) == 0
    guard isNameless || summary.flags.contains(.detached) else { return }
    note(
      Finding(
        .orphan, .inconsistency, .inode(number),
        isNameless
          ? "no links and not in the orphan directory"
          : "a detached tree, and not in the orphan directory",
        repairs: [.orphan(inode: number)]))
  }

  private func checkLinkCount(_ number: UInt64, _ summary: InodeSummary, _ directory: DirectorySummary?) {
    let expected =
      directory.map { Inode.directoryLinks(subdirectories: UInt64($0.subdirectories)) } ?? summary.names
    guard summary.links != expected else { return }
    // A directory that once had more subdirectories than can be counted keeps links 1.
    if directory != nil, summary.links == Inode.uncountedLinks { return }
    // Names in damaged directories could not be counted: the count found may be too low, so links are only
    // raised.
    let isUncounted = directory != nil && expected == Inode.uncountedLinks
    let isSure = isWhole || isUncounted || expected > summary.links
    note(
      Finding(
        .links, .inconsistency, .inode(number), "\(summary.links) links, counted \(expected)",
        repairs: isSure ? [.setLinks(inode: number, expected)] : [], isSafe: isWhole))
  }

  /// Reports internal nodes to which nothing refers.
  func checkUnreferencedNodes() {
    var count = 0
    references.forEachUnreferenced { number in
      count += 1
      guard isWhole else { return }
      note(
        Finding(
          .nodeUnreferenced, .inconsistency, .node(number, inode: 0), "nothing refers to it",
          repairs: [.freeNode(number)]))
    }
    guard !isWhole, count > 0 else { return }
    note(
      Finding(
        .nodeUnreferenced, .note, .checkpoint,
        "nothing refers to \(count) nodes; they stay, because damaged blocks may have"))
  }
}

extension DirectoryHash {
  func of(_ name: [UInt8]) -> UInt64 { name.withUnsafeBytes { of($0) } }
}
