/// An index node of a hashed directory: 256 references, chosen by 8 bits of the hash.
///
/// The root index takes the hash's highest 8 bits, its children the next 8, and so on. Neighbouring slots may
/// refer to the same leaf: a leaf covers an aligned, power-of-two range of slots, and splits in halves.
public struct DirectoryIndex: OwnedNode {
  public static let magic: UInt32 = 0x5849_4456  // "VDIX"
  public static let slots = 256
  /// Set in a reference to an index node; clear for a leaf.
  public static let referenceFlag: UInt64 = 1 << 63
  /// 48 bits of hash, 8 a level.
  public static let maximumDepth = 6

  /// The fields in addition to `OwnedNodeHeader`; the references follow the header.
  public struct Fields: Sendable {
    public let depth = Field<UInt8>(4)

    @inline(__always) init() {}
  }

  @inline(__always) public static var fields: Fields { Fields() }

  public let page: Page
  public init(_ page: Page) { self.page = page }

  /// 0 for the root index, 1 for its children, at most 5.
  public var depth: Int {
    get { Int(page.load(Self.fields.depth)) }
    nonmutating set { page.store(UInt8(truncatingIfNeeded: newValue), Self.fields.depth) }
  }

  /// The reference in slot `slot` (0...255): a node number, `referenceFlag` set for an index, 0 for nothing.
  @inline(__always)
  public subscript(slot: Int) -> UInt64 {
    get { page.load(at: Self.headerSize + slot * 8) }
    nonmutating set { page.store(newValue, at: Self.headerSize + slot * 8) }
  }

  /// Makes an empty index of the block.
  public func initialize(owner number: UInt64, depth level: Int) {
    makeEmpty(owner: number)
    depth = level
  }

  public var isValid: Bool { hasMagic && depth < Self.maximumDepth }

  /// The aligned range of slots around `slot` that hold the same reference, as a leaf covers it.
  public func range(of slot: Int) -> Range<Int> {
    let value = self[slot]
    var size = 1
    while size < Self.slots {
      let start = slot & ~(size * 2 - 1)
      guard (start..<start + size * 2).allSatisfy({ self[$0] == value }) else { break }
      size *= 2
    }
    let start = slot & ~(size - 1)
    return start..<start + size
  }
}
