import Format

/// A reference to a block.
struct BlockReference {
  /// Its address and checksum.
  var entry: Entry
  /// What identifies it for the caller: a number, or an index.
  var tag: UInt64
}

/// A block of a file that is to be verified.
struct DataReference {
  var address: UInt64
  var checksum: UInt32
  var inode: UInt64
  var index: UInt64
}

extension Check {
  /// Records that `place` refers to a block.
  /// - Returns: false when the reference is wrong: the block lies outside of the segments, or is already
  ///   referred to.
  func claim(_ block: UInt64, for place: @autoclosure () -> Finding.Place) -> Bool {
    switch claims.claim(block) {
    case .claimed: return true
    case .outside: noteDamage(.address, place(), "block \(block) lies outside of all segments")
    case .alreadyClaimed:
      noteDamage(.blockSharing, place(), "block \(block) is also referred to by something else")
    }
    return false
  }

  /// Reads blocks of nodes or tables in batches and calls `body` for each whose checksum is right; for the
  /// others it reports damage of `kind`.
  /// - Parameters:
  ///   - claiming: whether to claim the blocks; false when they are read a second time.
  ///   - repairs: the repairs of a damaged one.
  func fetch(
    _ wanted: [BlockReference], claiming: Bool, _ kind: Finding.Kind, place: (UInt64) -> Finding.Place,
    repairs: (UInt64) -> [Repair] = { _ in [] }, body: (UInt64, Page) -> Void
  ) {
    func noteUnreadable(_ tag: UInt64, _ detail: String) {
      if claiming { noteDamage(kind, place(tag), detail, repairs: repairs(tag)) }
    }

    let valid = claiming ? wanted.filter { claim($0.entry.address, for: place($0.tag)) } : wanted
    for start in stride(from: 0, to: valid.count, by: BatchBuffers.blocks) {
      let batch = valid[start..<min(start + BatchBuffers.blocks, valid.count)]
      buffers.withBuffer { memory in
        let failed = readBatch(batch.map(\.entry.address), into: memory)
        for (index, reference) in batch.enumerated() {
          let page = Page(memory + index * Page.size)
          if let errno = failed[reference.entry.address] {
            noteUnreadable(reference.tag, "cannot be read (error \(errno))")
          } else if checksum.of(page) != reference.entry.checksum {
            noteUnreadable(reference.tag, "wrong checksum, block \(reference.entry.address)")
          } else {
            body(reference.tag, page)
          }
        }
      }
    }
  }

  private func readBatch(_ blocks: [UInt64], into memory: UnsafeMutableRawPointer) -> [UInt64: Int32] {
    let failures = blocks.withUnsafeBufferPointer { reader.read($0, into: memory) }
    guard !failures.isEmpty else { return [:] }
    return Dictionary(failures.map { ($0.block, $0.errno) }, uniquingKeysWith: { first, _ in first })
  }

  /// Reads one internal node that `inode` refers to, for the first time.
  func fetchNode(_ number: UInt64, inode: UInt64, body: (Page) -> Void) {
    fetchNodes([number], inode: inode) { _, page in body(page) }
  }

  /// Reads internal nodes that `inode` refers to, for the first time.
  func fetchNodes(_ numbers: [UInt64], inode: UInt64, body: (UInt64, Page) -> Void) {
    var wanted: [BlockReference] = []
    for number in numbers {
      let place = Finding.Place.node(number, inode: inode)
      switch references.refer(number) {
      case .first:
        if let entry = nodeLeaves.entry(number) { wanted.append(BlockReference(entry: entry, tag: number)) }
      case .again: noteDamage(.nodeReference, place, "something else refers to it too")
      case .unused: noteDamage(.nodeReference, place, "there is no such node")
      }
    }
    fetch(wanted, claiming: true, .node, place: { .node($0, inode: inode) }, body: body)
  }

  /// Queues a data block; queued blocks are read in the order in which they lie on the device.
  func verifyLater(_ reference: DataReference) {
    guard options.readsData else { return }
    pendingData.append(reference)
    if pendingData.count >= 8192 { verifyPendingData() }
  }

  /// Reads and verifies the blocks that `verifyLater` has queued.
  func verifyPendingData() {
    pendingData.sort { $0.address < $1.address }
    for start in stride(from: 0, to: pendingData.count, by: BatchBuffers.blocks) {
      let batch = pendingData[start..<min(start + BatchBuffers.blocks, pendingData.count)]
      buffers.withBuffer { memory in
        let failed = readBatch(batch.map(\.address), into: memory)
        for (index, reference) in batch.enumerated() {
          verify(reference, Page(memory + index * Page.size), errno: failed[reference.address])
        }
      }
    }
    pendingData.removeAll(keepingCapacity: true)
  }

  private func verify(_ reference: DataReference, _ page: Page, errno: Int32?) {
    report.verifiedBlocks += 1
    let problem: String
    if let errno {
      problem = "cannot be read (error \(errno))"
    } else if checksum.of(page) != reference.checksum {
      problem = "wrong checksum"
    } else {
      return
    }
    note(
      Finding(
        .data, .damage, .file(reference.inode, block: reference.index),
        "\(problem), block \(reference.address) of the device"))
  }
}
