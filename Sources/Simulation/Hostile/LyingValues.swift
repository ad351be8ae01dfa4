import Format

/// Values for a field of a hostile image: the ends of its range, neighbours of its value, and numbers that
/// are valid elsewhere.
struct LyingValues {
  var random: SeededRandom
  private let blocks: [UInt64]
  private let inodes: [NodeID]
  private let nodes: [UInt64]

  init(_ sealed: SealedImage, _ catalog: StructureCatalog, seed: UInt64) {
    random = SeededRandom(seed, stream: 0x6c696573)
    let geometry = sealed.geometry
    blocks = [
      0, 1, geometry.firstSegmentBlock - 1, geometry.firstSegmentBlock, geometry.segmentEnd - 1,
      geometry.segmentEnd, geometry.blockCount - 1, geometry.blockCount, Entry.maximumAddress,
    ]
    inodes = catalog.inodes
    nodes = catalog.nodes
  }

  /// A value of `width` bytes for a field that holds `old`.
  mutating func value(insteadOf old: UInt64, width: Int) -> UInt64 {
    let bits = UInt64(width * 8)
    switch random.below(16) {
    case 0: return 0
    case 1: return 1
    case 2: return .max
    case 3: return 1 << (bits - 1)
    case 4: return 1 << (bits - 1) - 1
    case 5: return old &+ 1
    case 6: return old &- 1
    case 7: return old ^ 1 << (random.next() % bits)
    case 8: return random.next()
    case 9: return random.next() >> (random.next() % 64)
    case 10: return UInt64(random.below(300))
    case 11: return address()
    case 12: return random.pick(inodes)?.number ?? 1
    case 13: return inode().raw
    case 14: return node()
    default: return node() | DirectoryIndex.referenceFlag
    }
  }

  /// A block's number: at a boundary, or anywhere.
  mutating func address() -> UInt64 {
    random.chance(50) ? random.pick(blocks) ?? 0 : random.next() % (blocks[7] + 2)
  }

  /// An inode's id; mostly of one that exists.
  mutating func inode() -> NodeID {
    switch random.below(8) {
    case 0: .root
    case 1: .orphans
    case 2: NodeID(raw: random.next())
    default: random.pick(inodes) ?? .root
    }
  }

  /// An internal node's number; mostly of one that exists.
  mutating func node() -> UInt64 { random.chance(90) ? random.pick(nodes) ?? 1 : random.next() >> 24 }

  /// A name that no directory may hold, or a harmless one.
  mutating func name(insteadOf old: [UInt8]) -> [UInt8] {
    switch random.below(8) {
    case 0: [0x2e]
    case 1: [0x2e, 0x2e]
    case 2: [0x61, 0x2f, 0x62]
    case 3: [0]
    case 4: Array("../../etc/passwd".utf8)
    case 5: Array(repeating: 0xff, count: 255)
    case 6: old + [0]
    default: [0x20]
    }
  }

  /// Gives a field of `width` bytes another value.
  mutating func lie(_ page: Page, at offset: Int, width: Int) {
    switch width {
    case 1:
      page.store(
        UInt8(truncatingIfNeeded: value(insteadOf: UInt64(page.load(UInt8.self, at: offset)), width: 1)),
        at: offset)
    case 2:
      page.store(
        UInt16(truncatingIfNeeded: value(insteadOf: UInt64(page.load(UInt16.self, at: offset)), width: 2)),
        at: offset)
    case 4:
      page.store(
        UInt32(truncatingIfNeeded: value(insteadOf: UInt64(page.load(UInt32.self, at: offset)), width: 4)),
        at: offset)
    default: page.store(value(insteadOf: page.load(at: offset), width: 8), at: offset)
    }
  }

  /// Gives one of the fields of the structure that begins at byte `base` another value.
  mutating func lie(_ page: Page, in fields: LyingFields, from base: Int = 0) {
    guard let field = random.pick(fields.places) else { return }
    lie(page, at: base + field.offset, width: field.width)
  }
}
