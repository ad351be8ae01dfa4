import Format

/// What a cached block is: kind and number in one word. The number is masked, so that no number read from a
/// damaged block can change the kind.
struct NodeKey: Hashable {
  let raw: UInt64

  @inline(__always)
  init(_ kind: OwnerKind, _ number: UInt64) {
    raw = UInt64(kind.rawValue) << 56 | (number & Entry.maximumAddress)
  }

  /// A block of a node table: `level` 0 for leaves.
  @inline(__always)
  init(table kind: OwnerKind, level: Int, index: UInt64) {
    raw = UInt64(kind.rawValue) << 56 | UInt64(level) << 48 | index
  }

  @inline(__always)
  init(raw: UInt64) { self.raw = raw }

  /// Whether it is a node or a block of a node table.
  @inline(__always)
  var isNode: Bool { raw >> 56 > UInt64(OwnerKind.data.rawValue) }
  var kind: OwnerKind { OwnerKind(rawValue: UInt8(truncatingIfNeeded: raw >> 56)) ?? .records }
  /// The node's number.
  var number: UInt64 { raw & Entry.maximumAddress }
  /// A table block's level.
  var level: Int { Int((raw >> 48) & 0xFF) }
}
