import Format

/// A frame of the arena, by its number: the filesystem's own, or one that a request's slot lends.
typealias FrameIndex = UInt32

extension FrameIndex {
  static let none = UInt32.max
}

/// What an internal node was found to be when it was first used. A block is checked once, then trusted.
enum NodeRole: UInt8 {
  case unchecked, map, directoryLeaf, directoryIndex, attributes, attributeValue, symlink
}

/// What the cache knows of one frame.
struct FrameInfo {
  enum State: UInt8 {
    case free
    /// Being read from the device.
    case loading
    /// Holds what its key says.
    case ready
    /// Could not be read: whoever asks gets the error.
    case failed
    /// Lent to a device command or a job; not in the index.
    case buffer
  }

  var key = NodeKey(raw: 0)
  /// For data: the block's index in the file.
  var index: UInt64 = 0
  var state = State.free
  /// Changed since it was last written.
  var isDirty = false
  /// Node: belongs to the checkpoint under way and was not written by it yet.
  var isFrozen = false
  /// Node: dirty, and the table block above it is dirty too; see `holdTables`.
  var isHeld = false
  /// Dirty page: its place in the order in which pages became dirty.
  var dirtied: UInt64 = 0
  /// Data: a device command is writing this frame.
  var isWriting = false
  /// Data: takes a block of space that the map does not hold yet.
  var isCharged = false
  /// Node: what its block was found to be; see `NodeRole`.
  var role = NodeRole.unchecked
  /// Loading: the checksum the block must have.
  var expected: UInt32 = 0
  /// Used since the clock's hand last passed.
  var isReferenced = false
  /// The slot that lends the frame; -1 for the filesystem's own frames.
  var slot: Int16 = -1
  /// Whoever counts here needs the frame to stay.
  var pins: UInt16 = 0
  /// Leaf of a node table: numbers in it that are marked as allocated, for which it has to stay too.
  var marks: UInt16 = 0
  /// Links: the free list, a node's dirty or frozen list, a data page's list in its file.
  var next = FrameIndex.none
  var previous = FrameIndex.none
  var chain = FrameIndex.none
  /// Data, dirty: the block that holds its map entry, the lowest map node or the inode. It is dirty for as long.
  var leaf = NodeKey(raw: 0)

  /// Whether it holds a node or a block of a node table.
  @inline(__always)
  var isNode: Bool { state == .ready && key.isNode }
}

/// A doubly linked list of frames through their `next` and `previous`.
struct FrameList {
  var first = FrameIndex.none
  var last = FrameIndex.none
  var count = 0
}

/// All 4 KiB frames of the filesystem: an index by key, a free list, and a clock that finds what to give up.
final class Cache {
  let memory: WorkingMemory
  let frames: UnsafeMutablePointer<FrameInfo>
  private let buckets: UnsafeMutablePointer<FrameIndex>
  private let bucketMask: UInt64
  private var freeHead = FrameIndex.none
  private(set) var freeCount = 0
  private var hand: FrameIndex
  private let end: FrameIndex
  /// Asked for every frame that is given up, before it is.
  var onEvict: (FrameIndex) -> Void = { _ in }
  /// How many frames each slot lends, and how many slots lend any; and slots that have all theirs back, until somebody asks for them.
  let lentFrames: UnsafeMutablePointer<Int32>
  private(set) var lendingSlots = 0
  private(set) var repaidSlots: [Int] = []

  init(memory: WorkingMemory) {
    self.memory = memory
    end = memory.firstFrame + memory.frameCount
    hand = memory.firstFrame
    frames = .allocate(capacity: Int(end))
    frames.initialize(repeating: FrameInfo(), count: Int(end))
    lentFrames = .allocate(capacity: memory.slots)
    lentFrames.initialize(repeating: 0, count: memory.slots)
    var size = 1024
    while size < Int(memory.frameCount) * 2 { size *= 2 }
    buckets = .allocate(capacity: size)
    buckets.initialize(repeating: .none, count: size)
    bucketMask = UInt64(size - 1)
    for frame in (memory.firstFrame..<end).reversed() { pushFree(frame) }
  }

  deinit {
    frames.deallocate()
    lentFrames.deallocate()
    buckets.deallocate()
  }

  /// The frame's bytes.
  @inline(__always)
  func page(_ frame: FrameIndex) -> Page {
    Page(memory.base + Int(frame) * Page.size)
  }

  /// The frame that holds `page`, one of the cache's own.
  @inline(__always)
  func frame(of page: Page) -> FrameIndex {
    FrameIndex(truncatingIfNeeded: (page.base - memory.base) / Page.size)
  }

  /// Whether a slot lends the frame.
  @inline(__always)
  func isLent(_ frame: FrameIndex) -> Bool { frame < memory.firstFrame }

  // MARK: Index

  @inline(__always)
  private func bucket(_ key: NodeKey, _ index: UInt64) -> Int {
    // Neighbours in a file are neighbours here: they are used together.
    let mixed = key.raw &* 0x9E37_79B9_7F4A_7C15
    return Int(((mixed ^ (mixed >> 29)) &+ index) & bucketMask)
  }

  /// The frame that holds, or is to hold, `key`.
  @inline(__always)
  func find(_ key: NodeKey, _ index: UInt64 = 0) -> FrameIndex {
    var frame = buckets[bucket(key, index)]
    while frame != .none {
      if frames[Int(frame)].key == key, frames[Int(frame)].index == index { return frame }
      frame = frames[Int(frame)].chain
    }
    return .none
  }

  private func link(_ frame: FrameIndex) {
    let slot = bucket(frames[Int(frame)].key, frames[Int(frame)].index)
    frames[Int(frame)].chain = buckets[slot]
    buckets[slot] = frame
  }

  private func unlink(_ frame: FrameIndex) {
    let slot = bucket(frames[Int(frame)].key, frames[Int(frame)].index)
    if buckets[slot] == frame {
      buckets[slot] = frames[Int(frame)].chain
    } else {
      var before = buckets[slot]
      while before != .none, frames[Int(before)].chain != frame { before = frames[Int(before)].chain }
      if before != .none { frames[Int(before)].chain = frames[Int(frame)].chain }
    }
    frames[Int(frame)].chain = .none
  }

  // MARK: Taking and giving back

  private func pushFree(_ frame: FrameIndex) {
    guard !isLent(frame) else { return giveToSlot(frame) }
    frames[Int(frame)] = FrameInfo()
    frames[Int(frame)].next = freeHead
    freeHead = frame
    freeCount += 1
  }

  private func giveToSlot(_ frame: FrameIndex) {
    let slot = Int(frames[Int(frame)].slot)
    frames[Int(frame)] = FrameInfo()
    lentFrames[slot] -= 1
    guard lentFrames[slot] == 0 else { return }
    lendingSlots -= 1
    repaidSlots.append(slot)
  }

  /// The slots that have all their frames back since this was last asked for.
  func takeRepaidSlots() -> [Int] {
    defer { repaidSlots.removeAll(keepingCapacity: true) }
    return repaidSlots
  }

  private func popFree() -> FrameIndex {
    let frame = freeHead
    guard frame != .none else { return .none }
    freeHead = frames[Int(frame)].next
    freeCount -= 1
    frames[Int(frame)] = FrameInfo()
    return frame
  }

  /// Makes sure that `count` frames are free, giving up clean ones.
  /// - Returns: false when too much is dirty, pinned or under way.
  func reserve(_ count: Int) -> Bool {
    var looked = 0
    let limit = Int(memory.frameCount) * 2
    while freeCount < count, looked < limit {
      looked += 1
      let frame = hand
      hand = hand + 1 == end ? memory.firstFrame : hand + 1
      evict(frame)
    }
    return freeCount >= count
  }

  private func evict(_ frame: FrameIndex) {
    guard !frames[Int(frame)].isReferenced else {
      frames[Int(frame)].isReferenced = false
      return
    }
    giveUp(frame)
  }

  /// Frees a frame if nothing needs what it holds to stay in memory.
  func giveUp(_ frame: FrameIndex) {
    let info = frames[Int(frame)]
    guard info.state == .ready || info.state == .failed, !info.isDirty, !info.isFrozen, !info.isWriting,
      info.pins == 0, info.marks == 0
    else { return }
    onEvict(frame)
    drop(frame)
  }

  /// A frame for `key`, in the index, its contents undefined; `none` when there is none.
  func insert(_ key: NodeKey, _ index: UInt64 = 0, state: FrameInfo.State) -> FrameIndex {
    guard freeCount > 0 || reserve(1) else { return .none }
    let frame = popFree()
    frames[Int(frame)].key = key
    frames[Int(frame)].index = index
    frames[Int(frame)].state = state
    frames[Int(frame)].isReferenced = true
    link(frame)
    return frame
  }

  /// Takes a frame that a slot lends into the index, with the bytes it holds, until it is freed.
  func borrow(_ frame: FrameIndex, from slot: Int, for key: NodeKey, _ index: UInt64) {
    frames[Int(frame)].key = key
    frames[Int(frame)].index = index
    frames[Int(frame)].state = .ready
    frames[Int(frame)].slot = Int16(truncatingIfNeeded: slot)
    if lentFrames[slot] == 0 { lendingSlots += 1 }
    lentFrames[slot] += 1
    link(frame)
  }

  /// A frame for a device command or a job; `none` when there is none.
  func takeBuffer() -> FrameIndex {
    guard freeCount > 0 || reserve(1) else { return .none }
    let frame = popFree()
    frames[Int(frame)].state = .buffer
    return frame
  }

  /// Gives a buffer back.
  func giveBack(_ frame: FrameIndex) { pushFree(frame) }

  /// Takes a frame out of the index and frees it.
  func drop(_ frame: FrameIndex) {
    if frames[Int(frame)].state != .buffer { unlink(frame) }
    pushFree(frame)
  }

  /// Takes a frame out of the index but keeps its memory, for a command that still uses it.
  func detach(_ frame: FrameIndex) {
    unlink(frame)
    frames[Int(frame)].state = .buffer
    frames[Int(frame)].isDirty = false
  }

  /// Moves a key to a new frame with the same bytes; the old frame becomes a buffer, for a command that still uses it.
  func renew(_ frame: FrameIndex) -> FrameIndex {
    let fresh = takeBuffer()
    guard fresh != .none else { return .none }
    page(fresh).copy(page(frame).bytes(at: 0, count: Page.size), at: 0)
    let info = frames[Int(frame)]
    detach(frame)
    frames[Int(fresh)].key = info.key
    frames[Int(fresh)].index = info.index
    frames[Int(fresh)].state = .ready
    frames[Int(fresh)].isReferenced = true
    link(fresh)
    return fresh
  }

  // MARK: Lists

  func append(_ frame: FrameIndex, to list: inout FrameList) {
    frames[Int(frame)].next = .none
    frames[Int(frame)].previous = list.last
    if list.last != .none { frames[Int(list.last)].next = frame } else { list.first = frame }
    list.last = frame
    list.count += 1
  }

  func remove(_ frame: FrameIndex, from list: inout FrameList) {
    let next = frames[Int(frame)].next
    let previous = frames[Int(frame)].previous
    if previous == .none { list.first = next } else { frames[Int(previous)].next = next }
    if next == .none { list.last = previous } else { frames[Int(next)].previous = previous }
    frames[Int(frame)].next = .none
    frames[Int(frame)].previous = .none
    list.count -= 1
  }
}
