import Format
import JSONValue

/// Neighbouring blocks of a file that neighbour each other on the device too, or are promised alike.
struct Extent {
  /// The first block in the file.
  let index: UInt64
  /// The first block on the device; 0 for blocks promised by fallocate and not written.
  let address: UInt64
  var count: UInt64

  var json: JSON {
    .object([
      ("index", .integer(index)), ("block", address == 0 ? .null : .integer(address)),
      ("count", .integer(count)),
    ])
  }
}

/// A walk over a file's map.
struct MapDump {
  private let volume: Volume
  private let pack: CheckpointPack
  /// Map nodes that may still be read: a map that has more than the filesystem has blocks leads in a circle.
  private var nodesLeft: UInt64
  private(set) var extents: [Extent] = []

  init(_ inode: Inode, in volume: Volume, of pack: CheckpointPack) throws(DumpError) {
    self.volume = volume
    self.pack = pack
    nodesLeft = volume.geometry.blockCount
    switch inode.layout {
    case .inline, .node: break
    case .direct:
      for index in 0..<Inode.directEntries {
        add(Entry(inode.page, at: inode.directOffset(index)), index: UInt64(index))
      }
    case .tree: try walk(inode.root, level: inode.height - 1, first: 0)
    }
  }

  private mutating func walk(_ number: UInt64, level: Int, first: UInt64) throws(DumpError) {
    guard nodesLeft > 0 else { throw DumpError("the map of the file leads in a circle; run fsck.varve") }
    nodesLeft -= 1
    let block = try volume.node(number, in: .internal, of: pack)
    let entries = block.read { page in (0..<Entry.perBlock).map { Entry(page, at: $0 * Entry.size) } }
    for (slot, entry) in entries.enumerated() {
      let index = first + UInt64(slot) << (8 * UInt64(level))
      if level == 0 {
        add(entry, index: index)
      } else if entry.address != 0 {
        try walk(entry.address, level: level - 1, first: index)
      }
    }
  }

  private mutating func add(_ entry: Entry, index: UInt64) {
    guard !entry.isHole else { return }
    if let last = extents.last, last.index + last.count == index,
      entry.address == (last.address == 0 ? 0 : last.address + last.count)
    {
      extents[extents.count - 1].count += 1
    } else {
      extents.append(Extent(index: index, address: entry.address, count: 1))
    }
  }
}
