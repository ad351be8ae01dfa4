import Format

/// Changes a filesystem's memory, as a device can that may write anywhere: fields of the structure that a
/// frame seems to hold, bytes anywhere, whole frames.
///
/// Most changes are undone later, so that operations go on instead of failing at the first block that they
/// read.
struct PageChanger {
  private struct Former {
    let page: Page
    let bytes: [UInt8]
  }

  private let memory: SimulatedMemory
  private var values: LyingValues
  /// The former contents of changed frames.
  private var former: [Former] = []

  private static let formerLimit = 8
  /// Frames tried, at most, to find one that is not empty.
  private static let attempts = 24

  init(_ memory: SimulatedMemory, values: LyingValues) {
    self.memory = memory
    self.values = values
  }

  /// Makes a change, or undoes one.
  /// - Parameter busy: arena frames of commands in flight, which are changed too.
  mutating func change(busy: [UInt32] = []) {
    if !former.isEmpty, values.random.chance(45) { return takeBack() }
    if values.random.chance(2) { return changeName() }
    guard let page = choose(busy) else { return }
    if former.count == Self.formerLimit { former.removeFirst() }
    former.append(Former(page: page, bytes: Array(page.bytes(at: 0, count: Page.size))))
    change(page)
  }

  private mutating func takeBack() {
    let change = former.remove(at: values.random.below(former.count))
    change.bytes.withUnsafeBytes { change.page.copy($0, at: 0) }
  }

  /// Changes the name of a request, which also lies in memory that the device can write.
  private mutating func changeName() {
    let name = memory.names(slot: values.random.below(memory.slots), second: values.random.chance(50))
    let byte = name + values.random.below(values.random.chance(80) ? 16 : SimulatedMemory.nameBytes)
    byte.storeBytes(of: UInt8(truncatingIfNeeded: values.random.next()), as: UInt8.self)
  }

  // MARK: Choosing

  private mutating func choose(_ busy: [UInt32]) -> Page? {
    if values.random.chance(20), let frame = values.random.pick(busy) { return page(Int(frame)) }
    if values.random.chance(2) { return page(values.random.below(memory.firstFrame)) }
    for _ in 0..<Self.attempts {
      // Frames are taken from the lowest on.
      let reach = values.random.chance(60) ? 256 : memory.frameCount
      let page = page(memory.firstFrame + values.random.below(min(reach, memory.frameCount)))
      if page.load(UInt64.self, at: 0) != 0 || page.load(UInt64.self, at: 8) != 0 { return page }
    }
    return nil
  }

  private func page(_ frame: Int) -> Page { Page(memory.base + frame * Page.size) }

  // MARK: Changing

  private mutating func change(_ page: Page) {
    switch values.random.below(100) {
    case 0..<5: values.lie(page, at: values.random.below(Page.size), width: 1 << values.random.below(4))
    case 5: page.clear()
    case 6: fill(page)
    case 7, 8: copyAnother(into: page)
    default: changeField(of: page)
    }
  }

  private mutating func fill(_ page: Page) {
    let isNoise = values.random.chance(50)
    for offset in stride(from: 0, to: Page.size, by: 8) {
      page.store(isNoise ? values.random.next() : .max, at: offset)
    }
  }

  private mutating func copyAnother(into page: Page) {
    guard let other = choose([]) else { return }
    page.copy(other.bytes(at: 0, count: Page.size), at: 0)
  }

  /// Changes a field of the structure that the block is by its magic number.
  private mutating func changeField(of page: Page) {
    switch page.load(UInt32.self, at: 0) {
    case Inode.magic: changeInode(page)
    case DirectoryIndex.magic:
      if values.random.chance(30) { return values.lie(page, in: .index) }
      changeWords(page, from: DirectoryIndex.headerSize)
    case DirectoryLeaf.magic, AttributeNode.magic, AttributeValueNode.magic:
      if values.random.chance(50) { return values.lie(page, in: .directoryLeaf) }
      changeRecords(page, from: DirectoryLeaf.headerSize)
    case UInt32(truncatingIfNeeded: LogHeader.magic):
      // Superblock, packs and headers have a magic number of 8 bytes.
      guard page.load(UInt64.self, at: 0) == LogHeader.magic else {
        return values.lie(page, at: 8 * values.random.below(64), width: 1 << values.random.below(4))
      }
      if values.random.chance(50) { return values.lie(page, in: .logHeader) }
      values.lie(page, in: .ownerRun, from: LogHeader.fixedSize + OwnerRun.size * values.random.below(8))
    default: changeWords(page, from: 0)
    }
  }

  private mutating func changeInode(_ page: Page) {
    switch values.random.below(10) {
    case 0..<7: values.lie(page, in: .inode)
    case 7: changeWords(page, from: Inode.inlineStart)
    case 8: changeRecords(page, from: Inode.inlineStart)
    default:
      // Attributes fill the end.
      let length = Int(page.load(Inode.fields.attributeLength))
      changeRecords(page, from: max(Inode.inlineStart, Page.size - length))
    }
  }

  /// Changes an entry of a map or table, or a reference of an index: one in use where there is any.
  private mutating func changeWords(_ page: Page, from start: Int) {
    var at = start
    for _ in 0..<Self.attempts {
      at = start + Entry.size * values.random.below((Page.size - start) / Entry.size)
      if page.load(UInt64.self, at: at) != 0 || page.load(UInt64.self, at: at + 8) != 0 { break }
    }
    values.lie(page, in: .entry, from: at)
  }

  /// Changes bytes of the first records after `start`, or at an offset at which records often begin.
  private mutating func changeRecords(_ page: Page, from start: Int) {
    let reach = values.random.chance(60) ? 40 : Page.size - start
    values.lie(page, at: start + values.random.below(reach), width: 1 << values.random.below(4))
  }
}
