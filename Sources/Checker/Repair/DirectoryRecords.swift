import Format

/// A name to be put into a directory.
struct NewRecord: HashedItem {
  var name: [UInt8]
  var node: NodeID
  /// DT_* of dirent(3).
  var type: UInt8
  /// Its key, or 0 for none yet.
  var key: UInt64 = 0

  var length: Int { DirectoryRecord.fixedSize + name.count }
  var hash: UInt64 { key >> DirectoryHash.ordinalBits }
}

extension NewRecord {
  /// The same name with the same key.
  init(_ record: DirectoryRecord) {
    self.init(name: Array(record.name), node: record.node, type: record.type, key: record.key)
  }
}

extension Transaction {
  /// All records of a directory, and the nodes that they lie in.
  /// - Throws: `unreadable` when a part of it cannot be read.
  func records(of directory: UInt64) throws(RepairError) -> (records: [NewRecord], nodes: [UInt64]) {
    let inode = try inode(directory)
    guard inode.layout == .node else { return (Self.collect(DirectoryEntries(inode)), []) }
    var records: [NewRecord] = []
    var nodes: Set<UInt64> = []
    try collect(inode.root, depth: 0, &records, &nodes)
    return (records, Array(nodes))
  }

  private func collect(
    _ reference: UInt64, depth: Int, _ records: inout [NewRecord], _ nodes: inout Set<UInt64>
  ) throws(RepairError) {
    let number = reference & ~DirectoryIndex.referenceFlag
    guard nodes.insert(number).inserted else { return }
    let buffer = try node(number)
    if reference & DirectoryIndex.referenceFlag == 0 {
      let leaf = DirectoryLeaf(buffer.page)
      guard leaf.isValid else { throw .unreadable("directory node \(number)") }
      records += Self.collect(DirectoryEntries(leaf))
      return
    }
    let index = DirectoryIndex(buffer.page)
    guard index.isValid, depth < DirectoryIndex.maximumDepth else {
      throw .unreadable("directory node \(number)")
    }
    var previous: UInt64 = 0
    for slot in 0..<DirectoryIndex.slots where index[slot] != 0 && index[slot] != previous {
      previous = index[slot]
      try collect(previous, depth: depth + 1, &records, &nodes)
    }
  }

  static func collect(_ entries: DirectoryEntries) -> [NewRecord] {
    var records: [NewRecord] = []
    var offset = entries.start
    while let record = entries.record(at: offset) {
      records.append(NewRecord(record))
      offset += record.length
    }
    return records
  }

  /// Gives a directory these records and no others, in new nodes instead of `former`, with keys made from
  /// their names.
  ///
  /// A record keeps its key, which is a readdir cookie, if the key is valid. Of records with the same name
  /// the first is kept.
  func store(_ records: [NewRecord], in directory: UInt64, insteadOf former: some Sequence<UInt64>)
    throws(RepairError)
  {
    for number in former { try freeNode(number) }
    let sorted = try keyed(records, directory)
    let inode = try inode(directory)
    inode.entryCount = UInt64(sorted.count)
    let length = sorted.reduce(0) { $0 + $1.length }
    inode.size = UInt64(length)
    inode.page.clear(at: Inode.inlineStart, count: inode.inlineRoom)
    inode.inlineLength = 0
    inode.root = 0
    if length <= inode.inlineRoom {
      inode.layout = .inline
      for record in sorted { inode.inlineLength = Self.insert(record, DirectoryEntries(inode)) }
    } else {
      inode.layout = .node
      let tree = HashedTree(
        transaction: self, owner: directory, capacity: DirectoryLeaf.capacity,
        overflow: .directoryFull(directory)
      ) { (page, records: ArraySlice<NewRecord>) in
        let leaf = DirectoryLeaf(page)
        leaf.initialize(owner: directory)
        for record in records { leaf.length = Self.insert(record, DirectoryEntries(leaf)) }
      }
      inode.root = try tree.build(sorted[...])
    }
  }

  private static func insert(_ record: NewRecord, _ entries: DirectoryEntries) -> Int {
    record.name.withUnsafeBytes {
      entries.insert(key: record.key, node: record.node, type: record.type, name: $0)
    }
  }

  /// The records in ascending order of their keys, each name once, each with the key of its name.
  private func keyed(_ records: [NewRecord], _ directory: UInt64) throws(RepairError) -> [NewRecord] {
    var byHash: [UInt64: [NewRecord]] = [:]
    for record in records { byHash[check.hash.of(record.name), default: []].append(record) }
    var result: [NewRecord] = []
    result.reserveCapacity(records.count)
    for (hash, group) in byHash {
      guard group.count < 1 << DirectoryHash.ordinalBits else { throw .directoryFull(directory) }
      result += Self.numbered(group, hash: hash)
    }
    return result.sorted { $0.key < $1.key }
  }

  /// Gives records of one hash an ordinal each: the one they have, or the lowest free.
  private static func numbered(_ group: [NewRecord], hash: UInt64) -> [NewRecord] {
    var names: Set<[UInt8]> = []
    var kept: Set<UInt64> = []
    var result: [NewRecord] = []
    for var record in group.sorted(by: { $0.key < $1.key }) where names.insert(record.name).inserted {
      let isPossible = record.hash == hash && kept.insert(record.key).inserted
      if !isPossible { record.key = 0 }
      result.append(record)
    }
    var next = hash << DirectoryHash.ordinalBits
    for index in result.indices where result[index].key == 0 {
      while !kept.insert(next).inserted { next += 1 }
      result[index].key = next
    }
    return result
  }
}
