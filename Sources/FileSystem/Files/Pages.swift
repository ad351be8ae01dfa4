import FileProtocol
import Format
import Glibc

/// Cached blocks of files: dirty ones on their way to the log, and clean ones.
///
/// Owns each file's lists of pages, the counts of dirty and charged pages, which files have pages in frames
/// that slots lend, and which writes were lost. It promises that a dirty page's map entry lies in a dirty
/// block (`place`), so that this block is in memory when the page is written; that a page over a hole is
/// charged until the map holds its block; and that a page does not change while a device command is writing
/// it: it is copied first (`makeDataPage`).
///
/// An inode with a dirty page is on the list of `Uncommitted`, even where damage ends a write half-way: commits
/// and checkpoints find the pages by it.
final class Pages {
  let cache: Cache
  let event: Event
  let waiting: Waiting
  let errors: Errors
  let loader: Loader
  let nodes: NodeStore
  let map: FileMap
  let states: InodeStates
  let uncommitted: Uncommitted
  /// Dirty pages, and those of them that are charged a block of space because they lie over a hole.
  private(set) var dirtyCount = 0
  private(set) var chargedCount = 0
  /// How often a page has become dirty; also the number of the last page that did.
  private(set) var lastDirtied: UInt64 = 0
  /// The number of the last truncation that drops clean pages in steps.
  private var lastCutWalk: UInt64 = 0
  /// Inodes with dirty pages in frames that slots lend, until these are written.
  private var borrowers: [UInt64] = []

  init(map: FileMap, states: InodeStates, uncommitted: Uncommitted) {
    self.map = map
    self.states = states
    self.uncommitted = uncommitted
    nodes = map.nodes
    cache = nodes.cache
    event = nodes.event
    waiting = nodes.waiting
    errors = nodes.errors
    loader = nodes.loader
    cache.onEvict = { [unowned(unsafe) self] frame in forgetClean(frame) }
  }

  // MARK: Finding

  /// The cached page of a block, `none` when there is none.
  @inline(__always)
  func dataFrame(_ inode: UInt64, _ index: UInt64) -> FrameIndex { cache.find(NodeKey(.data, inode), index) }

  /// Whether a block has a page that is not just being read.
  @inline(__always)
  func hasPage(_ inode: UInt64, _ index: UInt64) -> Bool {
    let frame = dataFrame(inode, index)
    return frame != .none && cache[frame].isReady
  }

  /// Whether a block has a dirty page.
  func isDirty(_ inode: UInt64, _ index: UInt64) -> Bool {
    let frame = dataFrame(inode, index)
    return frame != .none && cache[frame].isDirty
  }

  /// Whether a block has a page that is charged.
  func isCharged(_ inode: UInt64, _ index: UInt64) -> Bool {
    let frame = dataFrame(inode, index)
    return frame != .none && cache[frame].state == .page(.charged)
  }

  /// The cached page of a block, read from the device when it is not in memory; nil for a hole without a
  /// page.
  func dataPage(_ inode: Inode, _ index: UInt64) throws(Stop) -> FrameIndex? {
    let key = NodeKey(.data, inode.number)
    let frame = cache.find(key, index)
    if frame != .none {
      switch cache[frame].state {
      case .page:
        cache.touch(frame)
        return frame
      case .loading: throw waiting.wait(for: frame)
      default: try loader.forgetFailure(frame)
      }
    }
    let entry = try map.mapEntry(inode, index)
    guard entry.address != 0 else { return nil }
    _ = try loader.load(key, index: index, address: entry.address, checksum: entry.checksum)
    return nil
  }

  /// Waits until no block of a range is being read.
  func waitForReads(_ inode: UInt64, _ range: Range<UInt64>) throws(Stop) {
    guard states.find(inode) != nil || waiting.isReading else { return }
    for index in range {
      let frame = dataFrame(inode, index)
      if frame != .none, cache[frame].isLoading { throw waiting.wait(for: frame) }
    }
  }

  // MARK: Clean pages

  /// Adds a page that has been read to its file's list.
  func adopt(_ frame: FrameIndex) {
    let number = cache[frame].key.number
    appendClean(frame, states.find(number) ?? states.obtain(NodeID(number: number, generation: 0), size: 0))
  }

  /// Adds a page to the clean ones of its file.
  private func appendClean(_ frame: FrameIndex, _ state: Int) {
    cache.append(frame, to: &states[state].pages.clean)
    if cache[frame].index >= states[state].pages.cleanEnd { states[state].pages.cleanEnd = .max }
    if states[state].pages.cutWalk != 0 { states[state].pages.cutLeft += 1 }
  }

  /// Removes a clean page from its file's list, because the cache is about to evict it.
  private func forgetClean(_ frame: FrameIndex) {
    guard let state = states.find(cache[frame].key.number) else { return }
    cache.remove(frame, from: &states[state].pages.clean)
    states.releaseIfUnused(state)
  }

  // MARK: Dirty pages

  /// Adds a page to the dirty ones of its file, as the last.
  private func becomeDirty(_ frame: FrameIndex, _ state: Int, isCharged: Bool = false) {
    cache.setPage(frame, isCharged ? .charged : .dirty)
    lastDirtied += 1
    cache.setOrder(frame, lastDirtied)
    cache.append(frame, to: &states[state].pages.dirty)
    dirtyCount += 1
    if isCharged { chargedCount += 1 }
  }

  /// Removes a page from the dirty ones, because it is being written or dropped.
  private func leaveDirty(_ frame: FrameIndex, _ state: Int) {
    cache.remove(frame, from: &states[state].pages.dirty)
    dirtyCount -= 1
    if cache[frame].state == .page(.charged) { chargedCount -= 1 }
  }

  /// A dirty page for a block, to be filled by the caller. A cached page of the block is used as it is,
  /// unless a device command is writing it: then its bytes are copied to a new frame.
  func makeDataPage(_ inode: Inode, _ index: UInt64) throws(Stop) -> FrameIndex {
    let key = NodeKey(.data, inode.number)
    var frame = cache.find(key, index)
    let state = states.obtain(inode)
    if frame != .none {
      switch cache[frame].state {
      case .page(.dirty), .page(.charged): return frame
      case .page(.writing):
        waiting.unpinEverywhere(frame)
        let fresh = cache.renew(frame)
        guard fresh != .none else { throw .again(.memory) }
        cache.remove(frame, from: &states[state].pages.clean)
        frame = fresh
      case .page(.clean): cache.remove(frame, from: &states[state].pages.clean)
      case .loading:
        cache.detach(frame)
        frame = .none
      default:
        waiting.unpinEverywhere(frame)
        cache.drop(frame)
        frame = .none
      }
    }
    if frame == .none {
      frame = cache.insert(key, index)
      guard frame != .none else { throw .again(.memory) }
    }
    becomeDirty(frame, state)
    uncommitted.list(state)
    return frame
  }

  /// Makes the block with a dirty page's map entry dirty too, so that it is in memory when the page is
  /// written. A page over a hole is charged a block, so that writing it out cannot fail for lack of space.
  func place(_ frame: FrameIndex, of inode: Inode, at slot: MapSlot) {
    nodes.modify(slot.page)
    cache.setLeaf(frame, cache[cache.frame(of: slot.page)].key)
    guard slot.entry.isHole, cache[frame].state == .page(.dirty) else { return }
    cache.setPage(frame, .charged)
    chargedCount += 1
    nodes.modify(inode.page)
    inode.blocks &+= 1
  }

  /// Reserves space for a hole. Where the hole has a charged page, the page's block becomes the reserved one.
  func reserve(_ inode: Inode, _ index: UInt64, at slot: MapSlot) {
    map.reserve(slot)
    let frame = dataFrame(inode.number, index)
    if frame != .none, cache[frame].state == .page(.charged) {
      cache.setPage(frame, .dirty)
      chargedCount -= 1
    } else {
      inode.blocks &+= 1
    }
  }

  // MARK: Writing

  /// A log write takes a page: its bytes are on their way to the log, and the map has its new address.
  @inline(__always)
  func beginWriting(_ frame: FrameIndex) {
    guard let state = states.find(cache[frame].key.number) else { return }
    uncommitted.wroteShare(state)
    leaveDirty(frame, state)
    cache.setPage(frame, .writing)
    appendClean(frame, state)
  }

  /// The log write of a page has ended, with or without an error.
  func endWriting(_ frame: FrameIndex, _ code: Int32) {
    // Another page has replaced it meanwhile; it was kept for the command only.
    guard cache[frame].state == .page(.writing) else { return cache.giveBack(frame) }
    guard let state = states.find(cache[frame].key.number) else { return }
    cache.setPage(frame, .clean)
    if code != 0 {
      cache.remove(frame, from: &states[state].pages.clean)
      becomeDirty(frame, state)
      uncommitted.list(state)
    } else if cache.isLent(frame) {
      // The frame returns to its slot.
      cache.remove(frame, from: &states[state].pages.clean)
      cache.drop(frame)
      states.releaseIfUnused(state)
    }
  }

  // MARK: Dropping

  /// Drops every cached page of `inode` in a range of blocks, dirty ones included.
  func dropPages(_ inode: Inode, _ range: Range<UInt64>) {
    guard let state = states.find(inode.number) else { return }
    // Another page of the same block must not take over its urgency: it would be written ahead of pages that
    // became dirty before it.
    uncommitted.removeUrgent { $0.inode == inode.number && range.contains($0.index) }
    let hasClean = range.lowerBound < states[state].pages.cleanEnd
    let pages = states[state].pages.dirty.count + (hasClean ? states[state].pages.clean.count : 0)
    if range.upperBound - range.lowerBound < UInt64(pages) {
      event.count(range.count * Work.frame)
      for index in range {
        let frame = dataFrame(inode.number, index)
        if frame != .none, cache[frame].isReady { drop(frame, inode, state) }
      }
    } else {
      event.count(pages * Work.frame)
      drop(from: states[state].pages.dirty.first, inode, state, range)
      if hasClean { drop(from: states[state].pages.clean.first, inode, state, range) }
    }
    dropLoading(inode, range)
  }

  private func drop(from first: FrameIndex, _ inode: Inode, _ state: Int, _ range: Range<UInt64>) {
    var frame = first
    while frame != .none {
      let next = cache[frame].next
      if range.contains(cache[frame].index) { drop(frame, inode, state) }
      frame = next
    }
  }

  /// Up to so many pages are dropped at once; more are dropped in steps.
  private static let pagesPerCut = 1024

  /// Drops the clean pages of a file that is about to be truncated to `blocks` blocks, as many as one event
  /// has time for.
  /// - Throws: `again` until all are dropped.
  func prepareDrop(_ inode: Inode, from blocks: UInt64) throws(Stop) {
    guard waiting.isRequest, let state = states.find(inode.number),
      states[state].pages.clean.count > Self.pagesPerCut, states[state].pages.cleanEnd > blocks
    else { return }
    if waiting.cursor.cutWalk == 0 {
      lastCutWalk += 1
      waiting.cursor.cutWalk = lastCutWalk
      states[state].pages.cutWalk = lastCutWalk
      states[state].pages.cutLeft = states[state].pages.clean.count
    }
    // Another truncation has taken over the walk: this one drops what is left at once, without steps.
    guard states[state].pages.cutWalk == waiting.cursor.cutWalk else { return }
    while states[state].pages.cutLeft > 0, states[state].pages.clean.first != .none {
      guard !event.isSpent else { throw .again(.share) }
      event.count(Work.frame)
      let frame = states[state].pages.clean.first
      states[state].pages.cutLeft -= 1
      if cache[frame].index >= blocks {
        drop(frame, inode, state)
      } else {
        cache.remove(frame, from: &states[state].pages.clean)
        cache.append(frame, to: &states[state].pages.clean)
      }
    }
    states[state].pages.cutWalk = 0
    states[state].pages.cleanEnd = blocks
  }

  /// Drops pages of a file that cannot be reached any more, as many as one event has time for.
  /// - Returns: whether all are dropped.
  func dropSome(_ inode: Inode) -> Bool {
    guard let state = states.find(inode.number) else { return true }
    while !event.isSpent {
      let dirty = states[state].pages.dirty.first
      let frame = dirty != .none ? dirty : states[state].pages.clean.first
      guard frame != .none else { return true }
      event.count(Work.frame)
      drop(frame, inode, state)
    }
    return false
  }

  private func drop(_ frame: FrameIndex, _ inode: Inode, _ state: Int) {
    let was = cache[frame].state
    if cache[frame].isDirty {
      leaveDirty(frame, state)
    } else {
      cache.remove(frame, from: &states[state].pages.clean)
    }
    if was == .page(.charged) { loseBlock(of: inode) }
    waiting.unpinEverywhere(frame)
    if was == .page(.writing) { cache.detach(frame) } else { cache.drop(frame) }
  }

  /// Takes a dropped charged page off its file's block count.
  private func loseBlock(of inode: Inode) {
    nodes.modify(inode.page)
    inode.loseBlock()
  }

  /// Pages being read are in no list; they are few and are found among the frames that `Waiting` knows as
  /// being read.
  private func dropLoading(_ inode: Inode, _ range: Range<UInt64>) {
    let key = NodeKey(.data, inode.number)
    for frame in waiting.framesBeingRead where cache[frame].key == key {
      if cache[frame].isLoading, range.contains(cache[frame].index) { cache.detach(frame) }
    }
  }

  /// Drops the dirty pages of a file that can never be written.
  /// - Returns: how many there were.
  func dropUnwritable(_ state: Int) -> Int {
    let number = states[state].number
    let count = states[state].pages.dirty.count
    while states[state].pages.dirty.first != .none {
      let frame = states[state].pages.dirty.first
      let wasCharged = cache[frame].state == .page(.charged)
      leaveDirty(frame, state)
      if wasCharged, let inode = nodes.inodeInMemory(number) { loseBlock(of: inode) }
      waiting.unpinEverywhere(frame)
      cache.drop(frame)
    }
    return count
  }

  // MARK: Pages in frames that slots lend
  //
  // A large write goes to the log from the slot that it arrived in: the slot's frames are lent to the cache
  // as dirty pages of the file, and return to the slot when the log write has ended or other pages have
  // replaced them. All other code treats them as any other page.

  /// Whether a write's payload can be lent: it is whole blocks in whole frames, at least `least` of them so
  /// that a log write of their own pays, and fewer than half of the slots lend frames now.
  func canBorrow(_ request: Request, _ end: UInt64, least: UInt64) -> Bool {
    (request.offset | end | UInt64(request.payloadOffset)) & 4095 == 0
      && request.length >> 12 >= least && cache.lendingSlots < cache.memory.slots / 2
  }

  /// Makes the payload's frames the dirty pages of the blocks `range`. The caller has prepared the write.
  /// - Parameter first: the first of the slot's frames with whole blocks.
  func borrow(_ first: FrameIndex, from slot: Int, _ inode: Inode, _ range: Range<UInt64>) throws(Stop) {
    let state = states.obtain(inode)
    let key = NodeKey(.data, inode.number)
    // First, because damage in the map may end the loop below half-way: the pages borrowed until then must
    // still be written or dropped.
    uncommitted.list(state)
    if !borrowers.contains(inode.number) { borrowers.append(inode.number) }
    for (position, index) in range.enumerated() {
      let frame = first + FrameIndex(truncatingIfNeeded: position)
      let wasCharged = makeWay(state, key, index)
      cache.borrow(frame, from: slot, for: key, index)
      becomeDirty(frame, state, isCharged: wasCharged)
      place(frame, of: inode, at: try map.makeMapSlot(inode, index))
    }
  }

  /// Takes the cached page of a block out of the cache, because another is about to replace it.
  /// - Returns: whether it was charged.
  private func makeWay(_ state: Int, _ key: NodeKey, _ index: UInt64) -> Bool {
    let frame = cache.find(key, index)
    guard frame != .none else { return false }
    let was = cache[frame].state
    if cache[frame].isDirty {
      leaveDirty(frame, state)
    } else if cache[frame].isReady {
      cache.remove(frame, from: &states[state].pages.clean)
    }
    waiting.unpinEverywhere(frame)
    if was == .page(.writing) || cache[frame].isLoading { cache.detach(frame) } else { cache.drop(frame) }
    return was == .page(.charged)
  }

  /// The first inode with borrowed pages that are still to be written.
  var firstBorrower: UInt64? { borrowers.first }

  /// Removes the first borrower, which has nothing left to write.
  func removeFirstBorrower() { borrowers.removeFirst() }

  /// After writing has ended: moves borrowed pages to frames of the cache, as far as it has any, so that
  /// their slots come free for reading.
  func returnBorrowed() {
    borrowers.removeAll()
    for frame in 0..<cache.memory.firstFrame where cache[frame].isDirty { moveToCache(frame) }
  }

  private func moveToCache(_ frame: FrameIndex) {
    guard let state = states.find(cache[frame].key.number) else { return }
    let wasCharged = cache[frame].state == .page(.charged)
    leaveDirty(frame, state)
    let fresh = cache.renew(frame)
    guard fresh != .none else { return cache.drop(frame) }
    becomeDirty(fresh, state, isCharged: wasCharged)
    cache.giveBack(frame)
  }

  // MARK: Invariants

  func checkInvariants(_ invariants: inout Invariants) {
    var dirty = 0
    var charged = 0
    var others = 0
    for frame in cache.all {
      guard case .page(let state) = cache[frame].state else { continue }
      switch state {
      case .dirty: dirty += 1
      case .charged: charged += 1
      case .clean, .writing: others += 1
      }
    }
    invariants.expect("dirty pages", dirty + charged, equals: dirtyCount)
    invariants.expect("charged pages", charged, equals: chargedCount)
    var listed = (dirty: 0, others: 0)
    states.forEach { state in
      listed.dirty += states[state].pages.dirty.count
      listed.others += states[state].pages.clean.count
      checkLists(of: state, &invariants)
    }
    invariants.expect("dirty pages in lists", listed.dirty, equals: dirty + charged)
    invariants.expect("other pages in lists", listed.others, equals: others)
  }

  /// The lists of a file have only its own pages, the dirty ones in the order in which they became dirty.
  private func checkLists(of state: Int, _ invariants: inout Invariants) {
    let number = states[state].number
    let key = NodeKey(.data, number)
    var wrong = 0
    var last: UInt64 = 0
    cache.checkList(states[state].pages.dirty, "dirty pages of inode \(number)", &invariants) { frame in
      if cache[frame].key != key || !cache[frame].isDirty || cache[frame].dirtied <= last { wrong += 1 }
      last = cache[frame].dirtied
    }
    let end = states[state].pages.cleanEnd
    cache.checkList(states[state].pages.clean, "clean pages of inode \(number)", &invariants) { frame in
      let isRight = cache[frame].state == .page(.clean) || cache[frame].state == .page(.writing)
      if cache[frame].key != key || !isRight || cache[frame].index >= end { wrong += 1 }
    }
    invariants.expect("pages in the wrong list of inode \(number)", wrong, equals: 0)
    invariants.expect(
      states[state].pages.dirty.count == 0 || states[state].log.isListed,
      "inode \(number) has dirty pages and is not listed to be committed")
  }
}

/// The cached pages of one file.
struct FilePages {
  /// The dirty ones, in the order in which they became dirty.
  fileprivate(set) var dirty = FrameList()
  /// The clean ones and those being written.
  fileprivate(set) var clean = FrameList()
  /// No page of the list `clean` lies at or after this block; `.max` when no such bound is known.
  fileprivate(set) var cleanEnd = UInt64.max
  /// The number of the truncation that is dropping clean pages in steps, 0 for none, and how many pages of
  /// the list it has still to look at.
  fileprivate(set) var cutWalk: UInt64 = 0
  fileprivate(set) var cutLeft = 0

  var isEmpty: Bool { dirty.count == 0 && clean.count == 0 }
}
