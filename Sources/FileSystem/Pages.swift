import Format

/// Cached blocks of files: dirty ones on their way to the log, and clean ones.
extension FileSystem {
  /// The cached page of a block, `none` when there is none.
  @inline(__always)
  func dataFrame(_ inode: UInt64, _ index: UInt64) -> FrameIndex { cache.find(NodeKey(.data, inode), index) }

  /// The page of a block as it is, read from the device when it is not in memory; nil for a hole without a page.
  func dataPage(_ inode: Inode, _ index: UInt64) throws(Stop) -> FrameIndex? {
    let key = NodeKey(.data, inode.number)
    let frame = cache.find(key, index)
    if frame != .none {
      switch cache.frames[Int(frame)].state {
      case .ready:
        cache.frames[Int(frame)].isReferenced = true
        return frame
      case .loading:
        wait(for: frame)
        throw .again
      default: try forgetFailure(frame)
      }
    }
    let entry = try mapEntry(inode, index)
    guard entry.address != 0 else { return nil }
    _ = try load(key, index: index, address: entry.address, checksum: entry.checksum)
    return nil
  }

  /// A page that a device read filled joins its file.
  func adoptCleanPage(_ frame: FrameIndex) {
    let number = cache.frames[Int(frame)].key.number
    let state = states.find(number) ?? states.obtain(NodeID(number: number, generation: 0))
    appendClean(frame, state)
  }

  /// A page joins the dirty ones of its file, as the latest.
  func appendDirty(_ frame: FrameIndex, _ state: Int) {
    lastDirtied += 1
    cache.frames[Int(frame)].dirtied = lastDirtied
    cache.append(frame, to: &states.slots[state].dirty)
  }

  /// A page joins the clean ones of its file.
  func appendClean(_ frame: FrameIndex, _ state: Int) {
    cache.append(frame, to: &states.slots[state].clean)
    if cache.frames[Int(frame)].index >= states.slots[state].cleanEnd { states.slots[state].cleanEnd = .max }
    if states.slots[state].cutWalk != 0 { states.slots[state].cutLeft += 1 }
  }

  /// A clean page is about to leave the cache.
  func forgetCleanPage(_ frame: FrameIndex) {
    guard cache.frames[Int(frame)].key.kind == .data, cache.frames[Int(frame)].state == .ready,
      let state = states.find(cache.frames[Int(frame)].key.number)
    else { return }
    cache.remove(frame, from: &states.slots[state].clean)
    states.releaseIfUnused(state)
  }

  /// A dirty page for a block, to be filled by the caller. What was cached of the block stays where it is, unless a
  /// device command is writing it: then the bytes are copied to a new frame.
  func makeDataPage(_ inode: Inode, _ index: UInt64) throws(Stop) -> FrameIndex {
    let key = NodeKey(.data, inode.number)
    var frame = cache.find(key, index)
    let state = obtainState(inode)
    if frame != .none, cache.frames[Int(frame)].isDirty { return frame }
    if frame != .none, cache.frames[Int(frame)].isWriting {
      unpinEverywhere(frame)
      let fresh = cache.renew(frame)
      guard fresh != .none else { throw .again }
      cache.remove(frame, from: &states.slots[state].clean)
      frame = fresh
    } else if frame != .none {
      switch cache.frames[Int(frame)].state {
      case .ready: cache.remove(frame, from: &states.slots[state].clean)
      case .loading:
        cache.detach(frame)
        frame = .none
      default:
        unpinEverywhere(frame)
        cache.drop(frame)
        frame = .none
      }
    }
    if frame == .none {
      frame = cache.insert(key, index, state: .ready)
      guard frame != .none else { throw .again }
    }
    cache.frames[Int(frame)].isDirty = true
    appendDirty(frame, state)
    dirtyPages += 1
    listUncommitted(state)
    return frame
  }

  /// Drops every cached page of `inode` from block `first` up to before `end`; what was dirty is gone.
  func dropPages(_ inode: Inode, _ range: Range<UInt64>) {
    guard let state = states.find(inode.number) else { return }
    // Another page in its place would go out without what was written before it.
    urgentPages.removeAll { $0.inode == inode.number && range.contains($0.index) }
    let hasClean = range.lowerBound < states.slots[state].cleanEnd
    let pages = states.slots[state].dirty.count + (hasClean ? states.slots[state].clean.count : 0)
    if range.upperBound - range.lowerBound < UInt64(pages) {
      work += range.count * Work.frame
      for index in range {
        let frame = dataFrame(inode.number, index)
        if frame != .none, cache.frames[Int(frame)].state == .ready { dropPage(frame, inode, state) }
      }
    } else {
      work += pages * Work.frame
      dropPages(from: states.slots[state].dirty.first, inode, state, range)
      if hasClean { dropPages(from: states.slots[state].clean.first, inode, state, range) }
    }
    dropLoadingPages(inode, range)
  }

  private func dropPages(from first: FrameIndex, _ inode: Inode, _ state: Int, _ range: Range<UInt64>) {
    var frame = first
    while frame != .none {
      let next = cache.frames[Int(frame)].next
      if range.contains(cache.frames[Int(frame)].index) { dropPage(frame, inode, state) }
      frame = next
    }
  }

  /// Pages that are dropped at once; more are dropped in steps.
  private static let pagesPerCut = 1024

  /// A file is about to be cut to `blocks` blocks: its clean pages behind that are dropped, as many as one event has time for.
  /// - Throws: `again` until they have gone.
  func prepareDrop(_ inode: Inode, from blocks: UInt64) throws(Stop) {
    let slot = currentWaiter
    guard slot < memory.slots, let state = states.find(inode.number),
      states.slots[state].clean.count > Self.pagesPerCut, states.slots[state].cleanEnd > blocks
    else { return }
    if slots[slot].cutWalk == 0 {
      lastCutWalk += 1
      slots[slot].cutWalk = lastCutWalk
      states.slots[state].cutWalk = lastCutWalk
      states.slots[state].cutLeft = states.slots[state].clean.count
    }
    // Another cut goes through them: this one drops what is left at once.
    guard states.slots[state].cutWalk == slots[slot].cutWalk else { return }
    while states.slots[state].cutLeft > 0, states.slots[state].clean.first != .none {
      guard !isSpent else { throw goOn() }
      work += Work.frame
      let frame = states.slots[state].clean.first
      states.slots[state].cutLeft -= 1
      if cache.frames[Int(frame)].index >= blocks {
        dropPage(frame, inode, state)
      } else {
        cache.remove(frame, from: &states.slots[state].clean)
        cache.append(frame, to: &states.slots[state].clean)
      }
    }
    states.slots[state].cutWalk = 0
    states.slots[state].cleanEnd = blocks
  }

  /// Drops pages of a file that nobody can reach any more, as many as one event has time for.
  /// - Returns: whether all have gone.
  func dropSomePages(_ inode: Inode) -> Bool {
    guard let state = states.find(inode.number) else { return true }
    while !isSpent {
      let dirty = states.slots[state].dirty.first
      let frame = dirty != .none ? dirty : states.slots[state].clean.first
      guard frame != .none else { return true }
      work += Work.frame
      dropPage(frame, inode, state)
    }
    return false
  }

  private func dropPage(_ frame: FrameIndex, _ inode: Inode, _ state: Int) {
    let info = cache.frames[Int(frame)]
    if info.isDirty {
      cache.remove(frame, from: &states.slots[state].dirty)
      dirtyPages -= 1
    } else {
      cache.remove(frame, from: &states.slots[state].clean)
    }
    if info.isDirty, info.isCharged {
      chargedPages -= 1
      modify(inode.page)
      inode.loseBlock()
    }
    unpinEverywhere(frame)
    if info.isWriting { cache.detach(frame) } else { cache.drop(frame) }
  }

  /// Pages being read are in no list; the few there are are found through those who wait for them.
  private func dropLoadingPages(_ inode: Inode, _ range: Range<UInt64>) {
    let key = NodeKey(.data, inode.number)
    for frame in loadWaiters.keys where cache.frames[Int(frame)].key == key {
      if cache.frames[Int(frame)].state == .loading, range.contains(cache.frames[Int(frame)].index) {
        cache.detach(frame)
      }
    }
  }

  // MARK: Inode states

  /// The state of an inode, made when there is none.
  @inline(__always)
  func obtainState(_ inode: Inode) -> Int {
    if let state = states.find(inode.number) {
      states.slots[state].generation = inode.generation
      return state
    }
    let state = states.obtain(inode.id)
    states.slots[state].loggedSize = inode.size
    return state
  }

  /// The inode has something that the next commit must write.
  @inline(__always)
  func listUncommitted(_ state: Int) {
    if log.oldestChange == 0 { log.oldestChange = now.monotonic }
    guard !states.slots[state].isListed else { return }
    states.slots[state].isListed = true
    uncommitted.append(state)
  }
}
