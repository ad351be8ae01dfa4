import Format

/// All 4 KiB frames of the filesystem: what each holds, an index by key, a free list, and a clock that
/// chooses frames to evict.
///
/// Owns every frame's state, pins and links, and how many frames each slot lends. It promises that a frame in
/// the index holds the block that its key names or is being read, that a block is in at most one frame, and
/// that no frame is evicted that is dirty, frozen, pinned, marked or being written. An owner that changes
/// what a frame holds reports it by one of the transitions below (`FrameState`). The lists of nodes and of
/// pages belong to `NodeStore` and `Pages`; `Waiting` decides what is pinned, and `Loader` what is read.
final class Cache {
  let memory: WorkingMemory
  private let frames: UnsafeMutablePointer<FrameInfo>
  private let buckets: UnsafeMutablePointer<FrameIndex>
  private let bucketCount: Int
  private let bucketMask: UInt64
  /// The numbers of all frames, in order: a pointer into it stands for a run of frames.
  private let numbers: UnsafeMutablePointer<UInt32>
  private var freeHead = FrameIndex.none
  private(set) var freeCount = 0
  private var hand: FrameIndex
  private let end: FrameIndex
  /// Called with a clean page before it is evicted.
  var onEvict: (FrameIndex) -> Void = { _ in }
  /// Called when a count contradicts what is to be done.
  var onContradiction: (String) -> Void = { _ in }
  /// How many frames each slot lends, and how many slots lend any; and the slots that have got all their
  /// frames back and were not taken by `takeRepaidSlot` yet.
  private let lentFrames: UnsafeMutablePointer<Int32>
  private(set) var lendingSlots = 0
  private var repaidSlots: [Int] = []

  init(memory: WorkingMemory) {
    self.memory = memory
    end = memory.firstFrame + memory.frameCount
    hand = memory.firstFrame
    frames = .allocate(capacity: Int(end))
    frames.initialize(repeating: FrameInfo(), count: Int(end))
    lentFrames = .allocate(capacity: memory.slots)
    lentFrames.initialize(repeating: 0, count: memory.slots)
    numbers = .allocate(capacity: Int(end))
    for frame in 0..<end { numbers[Int(frame)] = frame }
    var size = 1024
    while size < Int(memory.frameCount) * 2 { size *= 2 }
    bucketCount = size
    buckets = .allocate(capacity: size)
    buckets.initialize(repeating: .none, count: size)
    bucketMask = UInt64(size - 1)
    for frame in (memory.firstFrame..<end).reversed() { pushFree(frame) }
  }

  deinit {
    frames.deallocate()
    lentFrames.deallocate()
    numbers.deallocate()
    buckets.deallocate()
  }

  // MARK: Looking at frames

  /// The state of a frame.
  @inline(__always)
  subscript(frame: FrameIndex) -> FrameInfo {
    unsafeAddress { UnsafePointer(frames + Int(frame)) }
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

  /// Frame numbers for a command on frames from `frame` on.
  @inline(__always)
  func run(from frame: FrameIndex) -> UnsafePointer<UInt32> { UnsafePointer(numbers + Int(frame)) }

  /// Whether a slot lends the frame.
  @inline(__always)
  func isLent(_ frame: FrameIndex) -> Bool { frame < memory.firstFrame }

  /// Whether the frame holds the block `key`.
  @inline(__always)
  func holds(_ frame: FrameIndex, _ key: NodeKey) -> Bool {
    frame != .none && frames[frame].key == key && frames[frame].isReady
  }

  // MARK: Index

  @inline(__always)
  private func bucket(_ key: NodeKey, _ index: UInt64) -> Int {
    // Adjacent blocks of a file get adjacent buckets, because they are used together.
    let mixed = key.raw &* 0x9E37_79B9_7F4A_7C15
    return Int(((mixed ^ (mixed >> 29)) &+ index) & bucketMask)
  }

  /// The frame that holds, or is to hold, `key`.
  @inline(__always)
  func find(_ key: NodeKey, _ index: UInt64 = 0) -> FrameIndex {
    var frame = buckets[bucket(key, index)]
    while frame != .none {
      if frames[frame].key == key, frames[frame].index == index { return frame }
      frame = frames[frame].chain
    }
    return .none
  }

  private func link(_ frame: FrameIndex) {
    let slot = bucket(frames[frame].key, frames[frame].index)
    frames[frame].chain = buckets[slot]
    buckets[slot] = frame
  }

  private func unlink(_ frame: FrameIndex) {
    let slot = bucket(frames[frame].key, frames[frame].index)
    if buckets[slot] == frame {
      buckets[slot] = frames[frame].chain
    } else {
      var before = buckets[slot]
      while before != .none, frames[before].chain != frame { before = frames[before].chain }
      assert(before != .none, "a frame that is not in the index is taken out of it")
      if before != .none { frames[before].chain = frames[frame].chain }
    }
    frames[frame].chain = .none
  }

  // MARK: Taking and giving back

  private func pushFree(_ frame: FrameIndex) {
    assert(frames[frame].pins == 0, "a frame is freed that a request or job keeps")
    guard !isLent(frame) else { return giveToSlot(frame) }
    frames[frame] = FrameInfo()
    frames[frame].next = freeHead
    freeHead = frame
    freeCount += 1
  }

  private func giveToSlot(_ frame: FrameIndex) {
    let slot = Int(frames[frame].lender)
    guard slot >= 0, lentFrames[slot] > 0 else { return onContradiction("the number of frames a slot lends") }
    frames[frame] = FrameInfo()
    lentFrames[slot] -= 1
    guard lentFrames[slot] == 0 else { return }
    lendingSlots -= 1
    repaidSlots.append(slot)
  }

  /// Frames that a slot lends.
  @inline(__always)
  func lentFrames(of slot: Int) -> Int32 { lentFrames[slot] }

  /// Whether `takeRepaidSlot` has any slot.
  var hasRepaidSlots: Bool { !repaidSlots.isEmpty }

  /// A slot that got all its frames back, and may lend others again since; nil when there is none.
  func takeRepaidSlot() -> Int? { repaidSlots.popLast() }

  private func popFree() -> FrameIndex {
    let frame = freeHead
    guard frame != .none else { return .none }
    assert(frames[frame].state == .free)
    freeHead = frames[frame].next
    freeCount -= 1
    frames[frame] = FrameInfo()
    return frame
  }

  /// Makes sure that `count` frames are free, evicting clean ones.
  /// - Returns: false when too many frames are dirty, pinned or in use by commands.
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
    guard !frames[frame].isReferenced else {
      frames[frame].isReferenced = false
      return
    }
    giveUp(frame)
  }

  /// Evicts what a frame holds, if nothing needs it to stay in memory.
  func giveUp(_ frame: FrameIndex) {
    guard frames[frame].canBeGivenUp else { return }
    if frames[frame].state == .page(.clean) { onEvict(frame) }
    drop(frame)
  }

  /// A frame for `key`, in the index, its contents undefined; `none` when there is none.
  /// - Parameter checksum: the checksum that the block about to be read must have; nil for a new block.
  func insert(_ key: NodeKey, _ index: UInt64 = 0, loading checksum: UInt32? = nil) -> FrameIndex {
    assert(find(key, index) == .none, "a block would be in two frames")
    guard freeCount > 0 || reserve(1) else { return .none }
    let frame = popFree()
    frames[frame].key = key
    frames[frame].index = index
    if let checksum {
      frames[frame].state = .loading(checksum: checksum)
    } else {
      frames[frame].state = key.isNode ? .node(.clean) : .page(.clean)
    }
    frames[frame].isReferenced = true
    link(frame)
    return frame
  }

  /// Enters a frame that a slot lends in the index, with the bytes it holds; freeing it returns it to the
  /// slot.
  func borrow(_ frame: FrameIndex, from slot: Int, for key: NodeKey, _ index: UInt64) {
    assert(isLent(frame) && frames[frame].state == .free && find(key, index) == .none)
    frames[frame].key = key
    frames[frame].index = index
    frames[frame].state = .page(.clean)
    frames[frame].lender = Int16(truncatingIfNeeded: slot)
    if lentFrames[slot] == 0 { lendingSlots += 1 }
    lentFrames[slot] += 1
    link(frame)
  }

  /// A frame for a device command or a job; `none` when there is none.
  func takeBuffer() -> FrameIndex {
    guard freeCount > 0 || reserve(1) else { return .none }
    let frame = popFree()
    frames[frame].state = .buffer
    return frame
  }

  /// Gives a buffer back.
  func giveBack(_ frame: FrameIndex) {
    assert(frames[frame].state == .buffer)
    pushFree(frame)
  }

  /// Takes a frame out of the index and frees it.
  func drop(_ frame: FrameIndex) {
    assert(frames[frame].state != .free)
    if frames[frame].state != .buffer { unlink(frame) }
    pushFree(frame)
  }

  /// Takes a frame out of the index and makes it a buffer, for a command that still uses its memory.
  func detach(_ frame: FrameIndex) {
    unlink(frame)
    frames[frame].state = .buffer
  }

  /// Moves a page to a new frame with the same bytes, in state clean; the old frame becomes a buffer, for a
  /// command that still uses its memory.
  func renew(_ frame: FrameIndex) -> FrameIndex {
    let fresh = takeBuffer()
    guard fresh != .none else { return .none }
    page(fresh).copy(page(frame).bytes(at: 0, count: Page.size), at: 0)
    let info = frames[frame]
    detach(frame)
    frames[fresh].key = info.key
    frames[fresh].index = info.index
    frames[fresh].state = .page(.clean)
    frames[fresh].leaf = info.leaf
    frames[fresh].isReferenced = true
    link(fresh)
    return fresh
  }

  // MARK: Transitions

  /// The read of a block has ended; `isGood` says whether the block is usable.
  func endLoading(_ frame: FrameIndex, isGood: Bool) {
    assert(frames[frame].isLoading)
    frames[frame].state = isGood ? (frames[frame].key.isNode ? .node(.clean) : .page(.clean)) : .failed
  }

  @inline(__always)
  func setNode(_ frame: FrameIndex, _ state: NodeState) {
    assert(frames[frame].key.isNode && frames[frame].isReady)
    frames[frame].state = .node(state)
  }

  @inline(__always)
  func setPage(_ frame: FrameIndex, _ state: PageState) {
    assert(!frames[frame].key.isNode && frames[frame].isReady)
    frames[frame].state = .page(state)
  }

  /// Sets a dirty page's number in the order in which pages became dirty.
  @inline(__always)
  func setOrder(_ frame: FrameIndex, _ order: UInt64) { frames[frame].dirtied = order }

  /// Sets which block holds a page's map entry.
  @inline(__always)
  func setLeaf(_ frame: FrameIndex, _ leaf: NodeKey) { frames[frame].leaf = leaf }

  @inline(__always)
  func setRole(_ frame: FrameIndex, _ role: NodeRole) { frames[frame].role = role }

  /// Marks the frame as referenced, for the clock.
  @inline(__always)
  func touch(_ frame: FrameIndex) { frames[frame].isReferenced = true }

  @inline(__always)
  func pin(_ frame: FrameIndex) { frames[frame].pins += 1 }

  @inline(__always)
  func unpin(_ frame: FrameIndex) {
    assert(frames[frame].pins > 0)
    frames[frame].pins -= 1
  }

  /// Counts one more number marked as allocated in a leaf of a node table.
  func addMark(_ frame: FrameIndex) { frames[frame].marks &+= 1 }

  /// - Returns: false when there was none.
  func removeMark(_ frame: FrameIndex) -> Bool {
    guard frames[frame].marks > 0 else { return false }
    frames[frame].marks -= 1
    return true
  }

  // MARK: Lists

  @inline(__always)
  func append(_ frame: FrameIndex, to list: inout FrameList) { frames.append(frame, to: &list) }

  @inline(__always)
  func remove(_ frame: FrameIndex, from list: inout FrameList) { frames.remove(frame, from: &list) }
}
