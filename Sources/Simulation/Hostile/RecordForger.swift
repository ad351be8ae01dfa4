import Format

/// Directory records that are well-formed and still wrong: invalid names, duplicate names, inodes that are
/// elsewhere or do not exist, keys of other names.
struct RecordForger {
  private struct Record {
    var key: UInt64
    var node: UInt64
    var type: UInt8
    var name: [UInt8]

    var bytes: [UInt8] {
      var bytes: [UInt8] = []
      for value in [key, node] { withUnsafeBytes(of: value.littleEndian) { bytes += $0 } }
      return bytes + [type, UInt8(truncatingIfNeeded: name.count)] + name
    }
  }

  private var records: [Record] = []
  private let capacity: Int

  init(_ entries: DirectoryEntries) {
    capacity = entries.capacity
    var offset = entries.start
    while let record = entries.record(at: offset) {
      records.append(
        Record(key: record.key, node: record.node.raw, type: record.type, name: Array(record.name)))
      offset += record.length
    }
  }

  /// The records with a wrong one among them, encoded as in a block.
  func forge(_ values: inout LyingValues, _ hash: DirectoryHash) -> [UInt8] {
    var forged = records
    guard !forged.isEmpty else { return [] }
    let index = values.random.below(forged.count)
    switch values.random.below(8) {
    case 0, 1, 2: forged[index].node = values.inode().raw
    case 3: forged[index].name = values.name(insteadOf: forged[index].name)
    case 4:
      // A duplicate name, perhaps for another inode.
      var twin = forged[index]
      twin.key += 1
      if values.random.chance(50) { twin.node = values.inode().raw }
      forged.append(twin)
    case 5: forged[index].key = values.value(insteadOf: forged[index].key, width: 8)
    case 6: forged[index].type = UInt8(truncatingIfNeeded: values.random.next())
    default:
      // An inode gets a further name.
      forged[index].node = values.random.pick(forged)?.node ?? 1
    }
    if values.random.chance(80) {
      for index in forged.indices {
        let right = forged[index].name.withUnsafeBytes { hash.of($0) }
        guard forged[index].key >> DirectoryHash.ordinalBits != right else { continue }
        forged[index].key = right << DirectoryHash.ordinalBits
      }
      forged.sort { $0.key < $1.key }
    }
    var bytes: [UInt8] = []
    for record in forged where bytes.count + record.bytes.count <= capacity { bytes += record.bytes }
    return bytes
  }
}
