import Format

/// A node table that is being changed: blocks are loaded when needed, and `store` writes the changed ones.
final class EditedTable {
  private struct Position: Hashable {
    var level: Int
    var index: UInt64
  }

  let kind: OwnerKind
  private(set) var root: TableRoot
  private let reader: any BlockReader
  private let checksum: Checksum
  private var blocks: [Position: PageBuffer] = [:]
  private var dirty: Set<Position> = []

  init(_ kind: OwnerKind, root: TableRoot, reader: any BlockReader, checksum: Checksum) {
    self.kind = kind
    self.root = root
    self.reader = reader
    self.checksum = checksum
  }

  /// Sets the root's counts.
  func setCounts(used: UInt64, limit: UInt64) {
    root.used = used
    root.limit = max(root.limit, limit)
    // Number 0 is never used: no search may begin there.
    root.cursor = root.limit == 0 ? 0 : min(max(root.cursor, 1), root.limit)
  }

  private func block(_ position: Position) throws(RepairError) -> Page {
    if let loaded = blocks[position] { return loaded.page }
    let entry: Entry
    if position.level == Int(root.height) - 1 {
      entry = Entry(address: root.address, checksum: root.checksum)
    } else {
      let parent = try block(Position(level: position.level + 1, index: position.index >> 8))
      entry = Entry(parent, at: Int(position.index & 0xFF) * Entry.size)
    }
    let buffer = PageBuffer()
    if entry.address != 0 {
      guard reader.read(block: entry.address, count: 1, into: buffer.page.base).isEmpty,
        checksum.of(buffer.page) == entry.checksum
      else {
        let place = Finding.Place.tableBlock(kind, level: position.level, index: position.index)
        throw .unreadable("\(place)")
      }
    }
    blocks[position] = buffer
    return buffer.page
  }

  /// The entry of `number`; all zero if it was never allocated.
  func entry(_ number: UInt64) throws(RepairError) -> Entry {
    guard number >> (8 * UInt64(root.height)) == 0 else { return Entry() }
    return Entry(try block(Position(level: 0, index: number >> 8)), at: Int(number & 0xFF) * Entry.size)
  }

  /// Changes the entry of `number`.
  func set(_ entry: Entry, for number: UInt64) throws(RepairError) {
    let position = Position(level: 0, index: number >> 8)
    entry.store(try block(position), at: Int(number & 0xFF) * Entry.size)
    dirty.insert(position)
  }

  /// Replaces a block that cannot be read by one in which no number below it is in use, or is ever allocated
  /// again, because references to these numbers may remain.
  func retire(level: Int, index: UInt64) {
    guard level < Int(root.height), index >> (8 * UInt64(Int(root.height) - 1 - level)) == 0 else { return }
    let position = Position(level: level, index: index)
    let buffer = PageBuffer()
    blocks[position] = buffer
    dirty.insert(position)
    for slot in 0..<Entry.perBlock {
      if level == 0 {
        Entry(stamp: NodeID.maximumGeneration).store(buffer.page, at: slot * Entry.size)
      } else if (index << 8 | UInt64(slot)) << (8 * UInt64(level)) < root.limit {
        retire(level: level - 1, index: index << 8 | UInt64(slot))
      }
    }
  }

  /// A number that was never allocated, and is not below a block that cannot be read.
  func newNumber() throws(RepairError) -> UInt64 {
    var number = max(root.limit, 1)
    repeat {
      guard number < NodeID.maximumNumber else { throw .noSpace }
      while number >> (8 * UInt64(root.height)) != 0 { try grow() }
    } while passUnreadable(&number)
    root.limit = number + 1
    root.cursor = max(root.cursor, 1)
    root.used += 1
    return number
  }

  /// Moves `number` past all numbers below the highest unreadable block above it.
  /// - Returns: false when all blocks above it can be read.
  private func passUnreadable(_ number: inout UInt64) -> Bool {
    for level in (0..<Int(root.height)).reversed() {
      let shift = 8 * UInt64(level + 1)
      guard (try? block(Position(level: level, index: number >> shift))) == nil else { continue }
      number = (number >> shift + 1) << shift
      return true
    }
    return false
  }

  /// Adds a level: the old root becomes the first child of a new one.
  private func grow() throws(RepairError) {
    let top = Position(level: Int(root.height), index: 0)
    let buffer = PageBuffer()
    if root.address != 0 {
      Entry(address: root.address, checksum: root.checksum).store(buffer.page, at: 0)
    }
    blocks[top] = buffer
    dirty.insert(top)
    root.height += 1
    root.address = 0
  }

  /// Frees a number; its generation stays.
  func free(_ number: UInt64) throws(RepairError) -> UInt64 {
    let old = try entry(number)
    try set(Entry(stamp: old.stamp), for: number)
    if root.used > 0 { root.used -= 1 }
    return old.address
  }

  /// Writes all changed blocks, from the leaves to the root.
  /// - Parameter moved: called with the old address of a block, 0 for none, and its new one.
  func store(_ segments: SegmentWriter, moved: (UInt64, UInt64) -> Void) throws(RepairError) {
    for level in 0..<Int(root.height) {
      for position in dirty.filter({ $0.level == level }).sorted(by: { $0.index < $1.index }) {
        let page = try block(position)
        let owner = OwnerRun(kind: kind, number: UInt64(level), index: position.index)
        let entry = try segments.put(owner, page)
        if level == Int(root.height) - 1 {
          moved(root.address, entry.address)
          root.address = entry.address
          root.checksum = entry.checksum
        } else {
          let parent = Position(level: level + 1, index: position.index >> 8)
          let above = try block(parent)
          let at = Int(position.index & 0xFF) * Entry.size
          moved(Entry(above, at: at).address, entry.address)
          entry.store(above, at: at)
          dirty.insert(parent)
        }
      }
    }
    dirty.removeAll()
  }
}
