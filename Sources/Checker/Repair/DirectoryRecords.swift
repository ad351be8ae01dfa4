import Format

/// A name to be put into a directory.
struct NewRecord {
  var name: [UInt8]
  var node: NodeID
  /// DT_* of dirent(3).
  var type: UInt8
  /// The key it has, or 0 for one that has none yet.
  var key: UInt64 = 0

  /// The bytes its record takes.
  var length: Int { DirectoryRecord.fixedSize + name.count }
}

extension NewRecord {
  /// The same name with the same key.
  init(_ record: DirectoryRecord) {
    self.init(name: Array(record.name), node: record.node, type: record.type, key: record.key)
  }
}

extension Transaction {
  /// All records of a directory and the nodes they lie in.
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

  /// Gives a directory these records and no others, in fresh nodes instead of `former`, with keys made from their names.
  ///
  /// A record keeps its key, which is a readdir cookie, when the key is possible. Of records with one name the first stays.
  func store(_ records: [NewRecord], in directory: UInt64, insteadOf former: some Sequence<UInt64>)
    throws(RepairError)
  {
    for number in former { try freeNode(number) }
    let sorted = try keyed(records, directory)
    let inode = try inode(directory)
    inode.entryCount = UInt64(sorted.count)
    inode.size = UInt64(Self.length(sorted[...]))
    inode.page.clear(at: Inode.inlineStart, count: inode.inlineRoom)
    inode.inlineLength = 0
    inode.root = 0
    if Self.length(sorted[...]) <= inode.inlineRoom {
      inode.layout = .inline
      for record in sorted { inode.inlineLength = Self.insert(record, DirectoryEntries(inode)) }
    } else {
      inode.layout = .node
      inode.root = try build(sorted[...], depth: 0, directory)
    }
  }

  private static func length(_ records: ArraySlice<NewRecord>) -> Int { records.reduce(0) { $0 + $1.length } }

  private static func insert(_ record: NewRecord, _ entries: DirectoryEntries) -> Int {
    record.name.withUnsafeBytes {
      entries.insert(key: record.key, node: record.node, type: record.type, name: $0)
    }
  }

  /// The records by ascending key, each name once, each key that of its name.
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
      let isPossible = record.key >> DirectoryHash.ordinalBits == hash && kept.insert(record.key).inserted
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

  /// A leaf, or an index over leaves, with these records.
  /// - Returns: the reference to it.
  private func build(_ records: ArraySlice<NewRecord>, depth: Int, _ directory: UInt64)
    throws(RepairError) -> UInt64
  {
    if Self.length(records) <= DirectoryLeaf.capacity {
      let (number, page) = try makeNode()
      let leaf = DirectoryLeaf(page)
      leaf.initialize(owner: directory)
      for record in records { leaf.length = Self.insert(record, DirectoryEntries(leaf)) }
      return number
    }
    guard depth < DirectoryIndex.maximumDepth else { throw .directoryFull(directory) }
    let (number, page) = try makeNode()
    let index = DirectoryIndex(page)
    index.initialize(owner: directory, depth: depth)
    try fill(index, 0..<DirectoryIndex.slots, records, directory)
    return number | DirectoryIndex.referenceFlag
  }

  /// Halves the slots until the records of each half fit a leaf, or one slot is left and needs an index of its own.
  private func fill(
    _ index: DirectoryIndex, _ slots: Range<Int>, _ records: ArraySlice<NewRecord>, _ directory: UInt64
  ) throws(RepairError) {
    if slots.count == 1 || Self.length(records) <= DirectoryLeaf.capacity {
      let reference = try build(records, depth: index.depth + 1, directory)
      for slot in slots { index[slot] = reference }
      return
    }
    let middle = slots.lowerBound + slots.count / 2
    let split =
      records.firstIndex {
        DirectoryHash.slot($0.key >> DirectoryHash.ordinalBits, depth: index.depth) >= middle
      } ?? records.endIndex
    try fill(index, slots.lowerBound..<middle, records[..<split], directory)
    try fill(index, middle..<slots.upperBound, records[split...], directory)
  }
}
