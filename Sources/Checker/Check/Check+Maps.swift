import Format

/// The counts of a walk through a file's map.
struct MapWalk {
  let inode: UInt64
  /// The file's size in blocks.
  let sizeInBlocks: UInt64
  var written: UInt64 = 0
  var promised: UInt64 = 0
  /// The highest block of the file that is written.
  var lastWritten: UInt64?
  /// Whether all of the map could be read.
  var isComplete = true

  init(inode: UInt64, size: UInt64) {
    self.inode = inode
    sizeInBlocks = size / UInt64(Page.size) + (size % UInt64(Page.size) == 0 ? 0 : 1)
  }

  /// Blocks as the inode counts them.
  var count: UInt64 { written + promised }
}

extension Check {
  /// Walks the tree of `height` levels under map node `root`, which covers the file from block `first` on.
  func walkMap(_ root: UInt64, height: Int, first: UInt64, _ walk: inout MapWalk) {
    walkMap([(root, first)], height: height, &walk)
  }

  private func walkMap(_ nodes: [(number: UInt64, first: UInt64)], height: Int, _ walk: inout MapWalk) {
    let firsts = Dictionary(nodes.map { ($0.number, $0.first) }, uniquingKeysWith: { first, _ in first })
    var read = 0
    var result = walk
    fetchNodes(nodes.map(\.number), inode: walk.inode) { number, page in
      read += 1
      let first = firsts[number] ?? 0
      if height == 1 {
        walkLowest(page, at: 0, Entry.perBlock, first: first, &result)
      } else {
        let covered = UInt64(1) << (8 * UInt64(height - 1))
        let children = (0..<Entry.perBlock).map { index in
          (Entry(page, at: index * Entry.size).address, first + UInt64(index) * covered)
        }
        walkMap(children.filter { $0.0 != 0 }, height: height - 1, &result)
      }
    }
    if read != nodes.count { result.isComplete = false }
    walk = result
  }

  /// Checks `count` entries that refer to data, from byte `offset` of `page` on.
  func walkLowest(_ page: Page, at offset: Int, _ count: Int, first: UInt64, _ walk: inout MapWalk) {
    for index in 0..<count {
      let entry = Entry(page, at: offset + index * Entry.size)
      guard !entry.isHole else { continue }
      let block = first + UInt64(index)
      guard entry.address != 0 else {
        walk.promised += 1
        continue
      }
      walk.written += 1
      walk.lastWritten = max(block, walk.lastWritten ?? 0)
      if claim(entry.address, for: .file(walk.inode, block: block)) {
        verifyLater(
          DataReference(address: entry.address, checksum: entry.checksum, inode: walk.inode, index: block))
      }
    }
  }
}
