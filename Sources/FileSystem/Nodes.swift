import BlockProtocol
import Format

extension FileSystem {
  // MARK: Finding nodes in memory

  /// The block for `key` when it is in memory; nil when nobody has asked for it yet.
  @inline(__always)
  func cached(_ key: NodeKey) throws(Stop) -> Page? {
    let frame = cache.find(key)
    work += Work.frame
    guard frame != .none else { return nil }
    switch cache.frames[Int(frame)].state {
    case .ready:
      if misses.left >= 0 { try countFound(frame) }
      cache.frames[Int(frame)].isReferenced = true
      return cache.page(frame)
    case .loading:
      wait(for: frame)
      throw .again
    default:
      try forgetFailure(frame)
      return nil
    }
  }

  /// A block that could not be read is an error for those who waited for it. Whoever asks later reads it again.
  func forgetFailure(_ frame: FrameIndex) throws(Stop) {
    guard cache.frames[Int(frame)].pins == 0 else { throw .fail(Code.io) }
    cache.drop(frame)
  }

  /// Begins to read a block that is not in memory; whoever runs waits for it. What is still on its way to the device is
  /// there at once.
  func load(_ key: NodeKey, index: UInt64 = 0, address: UInt64, checksum expected: UInt32) throws(Stop)
    -> Page
  {
    guard geometry.segment(of: address) != nil else { throw .fail(Code.io) }
    let frame = cache.insert(key, index, state: .loading)
    guard frame != .none else { throw .again }
    if let written = nodeBeingWritten(at: address) {
      cache.frames[Int(frame)].state = .ready
      cache.page(frame).copy(written, at: 0)
      return cache.page(frame)
    }
    cache.frames[Int(frame)].expected = expected
    counters.nodeLoads += 1
    effects.commands.append(
      BlockCommand(
        .read, block: address, count: 1, frames: identity + Int(frame),
        tag: Tag(.load, UInt64(frame)).raw))
    wait(for: frame)
    throw .again
  }

  /// A block that `load` asked for has arrived, or not.
  func loaded(_ frame: FrameIndex, _ code: Int32) {
    if cache.frames[Int(frame)].state == .buffer {
      wakeLoadWaiters(frame, pinning: false)
      cache.giveBack(frame)
      return
    }
    let expected = cache.frames[Int(frame)].expected
    let key = cache.frames[Int(frame)].key
    work += Work.checksum
    let matches = code == 0 && checksum.of(cache.page(frame)) == expected
    if code == 0, !matches { counters.checksumErrors += 1 }
    if !matches { noteUnreadable(frame, key, code) }
    cache.frames[Int(frame)].state = matches ? .ready : .failed
    if matches {
      switch key.kind {
      case .data: adoptCleanPage(frame)
      case .inodeTable, .internalTable: if key.level == 0 { clearMarks(cache.page(frame)) }
      default: break
      }
    }
    wakeLoadWaiters(frame, pinning: true)
  }

  private func noteUnreadable(_ frame: FrameIndex, _ key: NodeKey, _ code: Int32) {
    let index = cache.frames[Int(frame)].index
    let what = key.kind == .data ? "block \(index) of inode \(key.number)" : "\(key.kind) \(key.number)"
    noteError(
      code == 0 ? .checksum : .read,
      code == 0 ? "checksum error: \(what)" : "\(what) cannot be read\(Code.reason(code))",
      inode: concernedInode(frame, key), code: code,
      place: key.raw ^ index << 24)
  }

  /// The inode that a block belongs to: of a node, what the first request that waits for it is about. 0 where that is not known.
  private func concernedInode(_ frame: FrameIndex, _ key: NodeKey) -> UInt64 {
    switch key.kind {
    case .data, .inode: return key.number
    case .internalNode:
      guard let slot = loadWaiters[frame]?.first(where: { $0 < memory.slots }) else { return 0 }
      let isAboutTwo = [.rename, .link].contains(requests[slot].operation)
      return isAboutTwo ? 0 : NodeID(raw: requests[slot].node).number
    default: return 0
    }
  }

  /// Everyone who waited for a frame goes on; `pinning` keeps the frame until they have run.
  private func wakeLoadWaiters(_ frame: FrameIndex, pinning: Bool) {
    for waiter in loadWaiters.removeValue(forKey: frame) ?? [] {
      if pinning {
        // No step needs so many at once; a walk has remembered how far it came.
        if waiters[waiter].pins.count >= Self.pinsPerWaiter { releasePins(of: waiter) }
        cache.frames[Int(frame)].pins += 1
        waiters[waiter].pins.append(frame)
      }
      waiters[waiter].missing -= 1
      if waiters[waiter].missing == 0, waiter < memory.slots { runnable.append(waiter) }
    }
  }

  /// The table that finds nodes of this kind.
  private func table(of kind: OwnerKind) -> NodeTable { kind == .inode ? inodeTable : internalTable }

  /// The inode with this number.
  /// - Throws: `again` while it is read; `ESTALE` when there is none, `EIO` when it is damaged.
  func inode(_ number: UInt64) throws(Stop) -> Inode {
    let key = NodeKey(.inode, number)
    if key == lastInode.key, isCurrent(lastInode.frame, key) {
      cache.frames[Int(lastInode.frame)].isReferenced = true
      return Inode(cache.page(lastInode.frame), number: number)
    }
    if let page = try cached(key) {
      let frame = Int(cache.frame(of: page))
      if cache.frames[frame].role == .unchecked {
        guard Inode(page).isValid(number: number) else { throw damaged(page) }
        cache.frames[frame].role = .map
      }
      lastInode = InodeMemo(key: key, frame: FrameIndex(truncatingIfNeeded: frame))
      return Inode(page, number: number)
    }
    let entry = try tableEntry(inodeTable, number)
    guard entry.address != 0 else { throw .fail(Code.stale) }
    return Inode(try load(key, address: entry.address, checksum: entry.checksum), number: number)
  }

  /// The inode with this number and generation.
  func inode(_ id: NodeID) throws(Stop) -> Inode {
    let inode = try inode(id.number)
    guard inode.generation == id.generation else { throw .fail(Code.stale) }
    return inode
  }

  /// The internal node with this number, which must be fit for `role`.
  func node(_ number: UInt64, as role: NodeRole) throws(Stop) -> Page {
    let key = NodeKey(.internalNode, number)
    if let page = try cached(key) {
      let frame = Int(cache.frame(of: page))
      if cache.frames[frame].role != role {
        guard isValid(page, as: role) else { throw damaged(page) }
        cache.frames[frame].role = role
      }
      return page
    }
    let entry = try tableEntry(internalTable, number)
    guard entry.address != 0 else { throw .fail(Code.io) }
    return try load(key, address: entry.address, checksum: entry.checksum)
  }

  /// A block in memory holds what it must not: it came so from the device, or has been changed since its checksum was found right.
  @inline(never)
  func damaged(_ page: Page) -> Stop {
    let key = cache.frames[Int(cache.frame(of: page))].key
    noteError(
      .checksum, "\(key.kind) \(key.number) holds what it must not",
      inode: key.kind == .inode ? key.number : 0, place: key.raw)
    return .fail(Code.io)
  }

  private func isValid(_ page: Page, as role: NodeRole) -> Bool {
    switch role {
    case .directoryLeaf: DirectoryLeaf(page).isValid
    case .directoryIndex: DirectoryIndex(page).isValid
    case .attributes: AttributeNode(page).isValid
    case .attributeValue: AttributeValueNode(page).isValid
    case .map, .symlink, .unchecked: true
    }
  }

  // MARK: Changing nodes

  /// A node is about to be changed. Whoever changes one calls this first.
  @inline(__always)
  func modify(_ page: Page) {
    let frame = cache.frame(of: page)
    if cache.frames[Int(frame)].isFrozen { writeFrozen(frame) }
    // In a damaged tree it may have been freed as part of what lies below it, and hold something else by now.
    guard !cache.frames[Int(frame)].isDirty, cache.frames[Int(frame)].isNode else { return }
    cache.frames[Int(frame)].isDirty = true
    cache.append(frame, to: &looseNodes)
    if checkpoint.oldestChange == 0 { checkpoint.oldestChange = now.monotonic }
  }

  /// A cleared block in memory for a node that has none yet. It is not dirty before `modify`.
  func makeNode(_ key: NodeKey) throws(Stop) -> Page {
    // A table that was changed in memory says that a number is free which is not.
    guard cache.find(key) == .none else { throw .fail(Code.io) }
    let frame = cache.insert(key, state: .ready)
    guard frame != .none else { throw .again }
    let page = cache.page(frame)
    page.clear()
    return page
  }

  /// Makes sure that the operation at hand can take `count` new internal nodes.
  func prepareNodes(_ count: Int) throws(Stop) {
    if internalTable.pool.count < count { try fillPool(internalTable, count) }
  }

  /// A new internal node; `prepareNodes` came before.
  func newNode() throws(Stop) -> (number: UInt64, page: Page) {
    let number = takeNumber(internalTable).number
    guard number != 0 else { throw .fail(Code.io) }
    let page = try makeNode(NodeKey(.internalNode, number))
    modify(page)
    return (number, page)
  }

  /// Gives up a node: its memory at once, its number and block when the tables allow.
  func freeNode(_ kind: OwnerKind, _ number: UInt64) {
    forgetLeaf()
    let frame = cache.find(NodeKey(kind, number))
    if frame != .none { discardNode(frame) }
    table(of: kind).giveUp(number)
  }

  private func discardNode(_ frame: FrameIndex) {
    if cache.frames[Int(frame)].state == .loading {
      cache.detach(frame)
      return
    }
    if cache.frames[Int(frame)].isFrozen { writeFrozen(frame) }
    if cache.frames[Int(frame)].isDirty { makeClean(frame) }
    unpinEverywhere(frame)
    cache.drop(frame)
  }

  /// A dirty node is written, or belongs to a checkpoint now, or goes.
  func makeClean(_ frame: FrameIndex) {
    if cache.frames[Int(frame)].isHeld {
      cache.remove(frame, from: &heldNodes)
    } else {
      cache.remove(frame, from: &looseNodes)
    }
    cache.frames[Int(frame)].isHeld = false
    cache.frames[Int(frame)].isDirty = false
  }

  /// Nodes changed since the last cut.
  var dirtyNodeCount: Int { heldNodes.count + looseNodes.count }

  /// A frame is about to go: nobody keeps it any longer. Whoever waited runs again and sees what has become of it.
  func unpinEverywhere(_ frame: FrameIndex) {
    guard cache.frames[Int(frame)].pins > 0 else { return }
    for waiter in 0..<waiterCount { waiters[waiter].pins.removeAll { $0 == frame } }
    cache.frames[Int(frame)].pins = 0
  }
}
