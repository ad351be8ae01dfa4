/// An inode: a 4 KiB node with a file's attributes and the beginning of its contents.
///
/// Bytes 0-255 are fields; from 256 the inline area grows upwards (`inlineLength` bytes of a small file, a
/// symlink's target, a small directory's entries, or the 128 direct map entries), and extended attributes
/// fill the end of the block (`attributeLength` bytes).
public struct Inode {
  public static let magic: UInt32 = 0x4F4E_4956  // "VINO"
  public static let inlineStart = 256
  public static let inlineCapacity = Page.size - inlineStart
  /// Direct map entries of a file with `Layout.direct`.
  public static let directEntries = 128
  /// The most names a file can have, and the most that a directory's `links` counts.
  public static let maximumLinks: UInt32 = 65000
  /// `links` of a directory that has, or once had, more subdirectories than can be counted.
  public static let uncountedLinks: UInt32 = 1
  /// The most bytes a file can have: a map of 4 levels covers no more.
  public static let maximumSize: UInt64 = 1 << 44

  /// How the contents are stored.
  public enum Layout: UInt8, Sendable {
    /// In the inline area: `size` bytes of a file or symlink, or a directory's entries.
    case inline = 0
    /// 128 map entries in the inline area.
    case direct = 1
    /// A tree of map nodes of `height` levels under `root`.
    case tree = 2
    /// A directory's hashed leaves under `root`, or one node with a long symlink's target.
    case node = 3
  }

  public let page: Page
  /// The number by which it was found. The number in the block is only compared with it, by `isValid`.
  public let number: UInt64

  /// The inode in a block that was found by its number.
  @inline(__always)
  public init(_ page: Page, number: UInt64) {
    self.page = page
    self.number = number
  }

  /// The inode in a block, with the number that the block holds.
  public init(_ page: Page) { self.init(page, number: page.load(Self.fields.number)) }

  public struct Fields: Sendable {
    public let magic = Field<UInt32>(0, .magic)
    public let generation = Field<UInt32>(4)
    public let number = Field<UInt64>(8, .inode)
    public let mode = Field<UInt32>(16)
    public let links = Field<UInt32>(20)
    public let uid = Field<UInt32>(24)
    public let gid = Field<UInt32>(28)
    public let device = Field<UInt32>(32)
    public let layout = Field<UInt8>(36)
    public let height = Field<UInt8>(37)
    public let inlineLength = Field<UInt16>(38)
    public let attributeLength = Field<UInt16>(40)
    public let size = Field<UInt64>(48)
    public let blocks = Field<UInt64>(56)
    public let accessTime = Field<Int64>(64, .time)
    public let modificationTime = Field<Int64>(72, .time)
    public let changeTime = Field<Int64>(80, .time)
    public let birthTime = Field<Int64>(88, .time)
    public let parent = Field<UInt64>(96, .nodeID)
    public let root = Field<UInt64>(104, .reference)
    public let attributeNode = Field<UInt64>(112, .reference)
    public let entryCount = Field<UInt64>(120)
    public let detachedRoot = Field<UInt64>(128, .node)
    public let detachedHeight = Field<UInt8>(136)

    @inline(__always) init() {}
  }

  /// Where the fields lie in the block.
  @inline(__always) public static var fields: Fields { Fields() }

  public var generation: UInt32 {
    get { page.load(Self.fields.generation) }
    nonmutating set { page.store(newValue, Self.fields.generation) }
  }
  /// Type and permission bits as in stat(2).
  public var mode: UInt32 {
    get { page.load(Self.fields.mode) }
    nonmutating set { page.store(newValue, Self.fields.mode) }
  }
  /// Names of the inode; for a directory 2 and its subdirectories, or `uncountedLinks`.
  public var links: UInt32 {
    get { page.load(Self.fields.links) }
    nonmutating set { page.store(newValue, Self.fields.links) }
  }
  public var uid: UInt32 {
    get { page.load(Self.fields.uid) }
    nonmutating set { page.store(newValue, Self.fields.uid) }
  }
  public var gid: UInt32 {
    get { page.load(Self.fields.gid) }
    nonmutating set { page.store(newValue, Self.fields.gid) }
  }
  public var device: UInt32 {
    get { page.load(Self.fields.device) }
    nonmutating set { page.store(newValue, Self.fields.device) }
  }
  /// An unknown value is returned as `inline`; `isValid` refuses it.
  public var layout: Layout {
    get { Layout(rawValue: page.load(Self.fields.layout)) ?? .inline }
    nonmutating set { page.store(newValue.rawValue, Self.fields.layout) }
  }
  /// The most levels of map nodes that a file has.
  public static let maximumHeight = 4

  /// Levels of map nodes, 1...`maximumHeight`, for `Layout.tree`; else 0.
  public var height: Int {
    get { Int(page.load(Self.fields.height)) }
    nonmutating set { page.store(UInt8(truncatingIfNeeded: newValue), Self.fields.height) }
  }
  /// Bytes used in the inline area.
  public var inlineLength: Int {
    get { Int(page.load(Self.fields.inlineLength)) }
    nonmutating set { page.store(UInt16(truncatingIfNeeded: newValue), Self.fields.inlineLength) }
  }
  /// Bytes of extended attributes at the end of the block.
  public var attributeLength: Int {
    get { Int(page.load(Self.fields.attributeLength)) }
    nonmutating set { page.store(UInt16(truncatingIfNeeded: newValue), Self.fields.attributeLength) }
  }
  /// Bytes of a file or symlink; for a directory the bytes of its records.
  public var size: UInt64 {
    get { page.load(Self.fields.size) }
    nonmutating set { page.store(newValue, Self.fields.size) }
  }
  /// 4 KiB blocks of data, written or reserved.
  public var blocks: UInt64 {
    get { page.load(Self.fields.blocks) }
    nonmutating set { page.store(newValue, Self.fields.blocks) }
  }
  /// Times are nanoseconds since 1970.
  public var accessTime: Int64 {
    get { page.load(Self.fields.accessTime) }
    nonmutating set { page.store(newValue, Self.fields.accessTime) }
  }
  public var modificationTime: Int64 {
    get { page.load(Self.fields.modificationTime) }
    nonmutating set { page.store(newValue, Self.fields.modificationTime) }
  }
  public var changeTime: Int64 {
    get { page.load(Self.fields.changeTime) }
    nonmutating set { page.store(newValue, Self.fields.changeTime) }
  }
  public var birthTime: Int64 {
    get { page.load(Self.fields.birthTime) }
    nonmutating set { page.store(newValue, Self.fields.birthTime) }
  }
  /// A directory's parent as `NodeID.raw`.
  public var parent: UInt64 {
    get { page.load(Self.fields.parent) }
    nonmutating set { page.store(newValue, Self.fields.parent) }
  }
  /// The number of the map's, directory's or symlink's first node. For a directory bit 63 says it is an index
  /// node.
  public var root: UInt64 {
    get { page.load(Self.fields.root) }
    nonmutating set { page.store(newValue, Self.fields.root) }
  }
  /// The node with extended attributes that do not fit the inode, or the index above them (bit 63), or 0.
  public var attributeNode: UInt64 {
    get { page.load(Self.fields.attributeNode) }
    nonmutating set { page.store(newValue, Self.fields.attributeNode) }
  }
  /// Names in a directory, "." and ".." not counted.
  public var entryCount: UInt64 {
    get { page.load(Self.fields.entryCount) }
    nonmutating set { page.store(newValue, Self.fields.entryCount) }
  }

  /// Levels under `detachedRoot` when it is a forest: a node whose children are trees of 4 levels, each
  /// detached separately.
  public static let forestHeight = 5

  /// The root of the detached tree, whose blocks were removed from the file and are not yet freed, or 0. They
  /// still count in `blocks`. An inode with a detached tree has an entry in the orphan directory.
  public var detachedRoot: UInt64 {
    get { page.load(Self.fields.detachedRoot) }
    nonmutating set { page.store(newValue, Self.fields.detachedRoot) }
  }
  /// Levels of map nodes under `detachedRoot`, 1...`maximumHeight`, or `forestHeight`; 0 without one.
  public var detachedHeight: Int {
    get { Int(page.load(Self.fields.detachedHeight)) }
    nonmutating set { page.store(UInt8(truncatingIfNeeded: newValue), Self.fields.detachedHeight) }
  }

  public var id: NodeID { NodeID(number: number, generation: generation) }
  public var isDirectory: Bool { mode & 0o170000 == 0o040000 }
  public var isRegular: Bool { mode & 0o170000 == 0o100000 }
  public var isSymlink: Bool { mode & 0o170000 == 0o120000 }
  /// Whether the mode's type is one that a file can have: S_IFIFO, S_IFCHR, S_IFDIR, S_IFBLK, S_IFREG,
  /// S_IFLNK or S_IFSOCK.
  public static func isKnownType(_ mode: UInt32) -> Bool {
    [1, 2, 4, 6, 8, 10, 12].contains((mode & 0o170000) >> 12)
  }

  /// Bytes the inline area can hold beside the extended attributes.
  public var inlineRoom: Int { max(Self.inlineCapacity - attributeLength, 0) }

  // A device may change a block in memory at any time, so a value from which a new one is computed is read
  // once.

  /// The link count after a name is removed.
  public var linksWithoutOne: UInt32 { Self.less(links, 1) }

  /// Decrements the count of blocks.
  public func loseBlock() { blocks = Self.less(blocks, 1) }

  /// Counts a removed name of a directory, whose record took `bytes`.
  public func loseName(bytes: Int) {
    entryCount = Self.less(entryCount, 1)
    size = Self.less(size, UInt64(max(bytes, 0)))
  }

  private static func less<Count: UnsignedInteger>(_ count: Count, _ lost: Count) -> Count {
    count - min(count, lost)
  }

  /// Counts a new subdirectory. Beyond `maximumLinks` subdirectories are no longer counted, for as long as
  /// the directory exists: as on ext4, a link count of 1 tells programs that it does not include the
  /// subdirectories.
  public func gainSubdirectory() {
    let former = links
    guard former != Self.uncountedLinks else { return }
    links = former >= Self.maximumLinks ? Self.uncountedLinks : former + 1
  }

  /// Counts a removed subdirectory. The directory's own 2 links stay until it is removed.
  public func loseSubdirectory() {
    let former = links
    if former > 2 { links = former - 1 }
  }

  /// The links of a directory with so many subdirectories that never had more.
  public static func directoryLinks(subdirectories count: UInt64) -> UInt32 {
    count > UInt64(maximumLinks) - 2 ? uncountedLinks : UInt32(truncatingIfNeeded: 2 + count)
  }

  /// Direct map entry `index` (0..<128).
  @inline(__always)
  public func directOffset(_ index: Int) -> Int { Self.inlineStart + index * Entry.size }

  /// Makes an empty inode of a block.
  public static func make(in page: Page, id: NodeID, mode: UInt32) -> Inode {
    page.clear()
    page.store(magic, Self.fields.magic)
    page.store(id.number, Self.fields.number)
    let inode = Inode(page, number: id.number)
    inode.generation = id.generation
    inode.mode = mode
    return inode
  }

  private var hasPossibleAttributeNode: Bool {
    let number = attributeNode & ~DirectoryIndex.referenceFlag
    return number <= Entry.maximumAddress && (number > 0 || attributeNode == 0)
  }

  /// Whether the block is an inode with this number, with fields that do not lead outside the block.
  public func isValid(number expected: UInt64) -> Bool {
    guard page.load(Self.fields.magic) == Self.magic,
      page.load(Self.fields.number) == expected,
      generation <= NodeID.maximumGeneration,
      let layout = Layout(rawValue: page.load(Self.fields.layout)),
      inlineLength + attributeLength <= Self.inlineCapacity, hasPossibleAttributeNode,
      size <= (isDirectory ? UInt64(Int64.max) : Self.maximumSize), Self.isKnownType(mode)
    else { return false }
    let node = root & ~DirectoryIndex.referenceFlag
    guard node <= Entry.maximumAddress, detachedRoot <= Entry.maximumAddress,
      detachedRoot == 0 ? detachedHeight == 0 : (1...Self.forestHeight).contains(detachedHeight)
    else { return false }
    switch layout {
    case .inline:
      let holds = isRegular || isSymlink ? size == UInt64(inlineLength) : true
      return height == 0 && holds && (!isDirectory || DirectoryEntries(self).isValid)
    case .direct: return inlineLength == Self.directEntries * Entry.size && height == 0 && !isDirectory
    case .tree:
      return (1...Self.maximumHeight).contains(height) && root == node && root > 0 && inlineLength == 0
        && !isDirectory
    case .node:
      let holds = isDirectory || (isSymlink && size < UInt64(Page.size))
      return height == 0 && root > 0 && inlineLength == 0 && holds
    }
  }
}
