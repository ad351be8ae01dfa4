import Format

/// The integers of a structure that can get a wrong value: its fields except the magic number, without which
/// it would be no such structure.
struct LyingFields {
  let places: [(offset: Int, width: Int)]

  /// - Parameter sealed: whether the structure holds its own checksum, which is computed again.
  init(_ layout: StructureLayout, sealed: Bool = false) {
    let fields = layout.fields.filter { $0.kind != .magic && !(sealed && $0.name == "checksum") }
    places = fields.flatMap { field in Self.widths(field.size).map { (field.offset, $0) } }
  }

  private static func widths(_ size: Int) -> [Int] {
    switch size {
    case 1, 2, 4, 8: [size]
    // An address and the field that shares an integer with it.
    case 6: [2, 4, 8]
    default: [8]
    }
  }

  static let superblock = LyingFields(.superblock, sealed: true)
  static let checkpointPack = LyingFields(.checkpointPack, sealed: true)
  static let tableRoot = LyingFields(.tableRoot)
  static let usageSelection = LyingFields(.usageSelection)
  static let usageEntry = LyingFields(.usageEntry)
  static let logHeader = LyingFields(.logHeader, sealed: true)
  static let ownerRun = LyingFields(.ownerRun)
  static let record = LyingFields(.record)
  static let records = StructureLayout.records.mapValues { LyingFields($0) }
  static let inode = LyingFields(.inode)
  static let entry = LyingFields(.entry)
  static let directoryLeaf = LyingFields(.directoryLeaf)
  static let index = LyingFields(.index)
  static let attribute = LyingFields(.attribute)
  static let attributeNode = LyingFields(.attributeNode)
  static let valueNode = LyingFields(.valueNode)
}
