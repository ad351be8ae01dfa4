import FileProtocol
import Format

/// Large writes go to the log from the slot they arrived in: its frames are lent to the cache as the dirty pages of the
/// file, and go back when the log write has ended or something else has taken their place.
///
/// To everyone else they are pages as any other.
extension FileSystem {
  /// Whether a write's payload can be lent: whole blocks in whole frames, enough of them to be worth a log write of
  /// their own, and slots left for others.
  func canBorrow(_ request: Request, _ end: UInt64) -> Bool {
    (request.offset | end | UInt64(request.payloadOffset)) & 4095 == 0
      && request.length >> 12 >= options.borrowedBlocks && cache.lendingSlots < memory.slots / 2
  }

  /// Makes the payload's frames the dirty pages of the blocks `range`. What a write needs was prepared.
  func borrowPayload(_ slot: Int, _ inode: Inode, _ range: Range<UInt64>) throws(Stop) {
    let state = obtainState(inode)
    let key = NodeKey(.data, inode.number)
    let first = requests[slot].firstFrame + FrameIndex(requests[slot].payloadOffset >> 12)
    // Where the map turns out to be damaged, the pages that were borrowed until then have to be written or given up all the same.
    listUncommitted(state)
    if !borrowers.contains(inode.number) { borrowers.append(inode.number) }
    for (position, index) in range.enumerated() {
      let frame = first + FrameIndex(truncatingIfNeeded: position)
      let wasCharged = makeWay(state, key, index)
      cache.borrow(frame, from: slot, for: key, index)
      cache.frames[Int(frame)].isDirty = true
      cache.frames[Int(frame)].isCharged = wasCharged
      appendDirty(frame, state)
      dirtyPages += 1
      place(frame, of: inode, at: try makeMapSlot(inode, index))
    }
  }

  /// Takes the cached page of a block out of the cache: another takes its place.
  /// - Returns: whether it was charged.
  private func makeWay(_ state: Int, _ key: NodeKey, _ index: UInt64) -> Bool {
    let frame = cache.find(key, index)
    guard frame != .none else { return false }
    let info = cache.frames[Int(frame)]
    if info.isDirty {
      cache.remove(frame, from: &states.slots[state].dirty)
      dirtyPages -= 1
    } else if info.state == .ready {
      cache.remove(frame, from: &states.slots[state].clean)
    }
    unpinEverywhere(frame)
    if info.isWriting || info.state == .loading { cache.detach(frame) } else { cache.drop(frame) }
    return info.isCharged
  }

  /// Whether borrowed pages wait to be written.
  public var wantsAdvance: Bool {
    !continuing.isEmpty || (!borrowers.isEmpty && !log.isBroken && !isWaiting(.commit))
  }

  /// Log writes made in one `advance` at most.
  private static let writesPerAdvance = 4

  /// Writes the files with borrowed pages, so that their slots are soon free.
  /// - Returns: whether there is more to write that nothing holds up.
  func writeBorrowed() -> Bool {
    guard !isStopping, !isReadOnly else { return false }
    for _ in 0..<Self.writesPerAdvance where !isSpent {
      guard let number = borrowers.first else { return false }
      let isDone = attempt(.commit) { () throws(Stop) in
        try commitInode(number)
        guard let state = states.find(number), states.slots[state].dirty.count > 0 else {
          borrowers.removeFirst()
          return
        }
      }
      guard isDone else { return false }
    }
    return !borrowers.isEmpty
  }

  // MARK: Giving back

  /// Slots that have all their frames back, and whose reply has gone out, are the reactor's again.
  func releaseRepaidSlots() {
    // One whose write began anew may lend others by now.
    for slot in cache.takeRepaidSlots() where slots[slot].isKept && cache.lentFrames[slot] == 0 {
      slots[slot].isKept = false
      effects.released.append(UInt32(truncatingIfNeeded: slot))
    }
  }

  /// The log holds a borrowed page: its slot gets it back.
  func returnPage(_ frame: FrameIndex) {
    if let state = states.find(cache.frames[Int(frame)].key.number) {
      cache.remove(frame, from: &states.slots[state].clean)
      cache.drop(frame)
      states.releaseIfUnused(state)
    }
  }

  /// Nothing can be written any more: borrowed pages move to frames of the cache, as far as it has any, so that slots
  /// come free for reading.
  func returnAllPages() {
    borrowers.removeAll()
    for frame in 0..<memory.firstFrame where cache.frames[Int(frame)].isDirty { moveToCache(frame) }
  }

  private func moveToCache(_ frame: FrameIndex) {
    let info = cache.frames[Int(frame)]
    guard let state = states.find(info.key.number) else { return }
    cache.remove(frame, from: &states.slots[state].dirty)
    let fresh = cache.renew(frame)
    guard fresh != .none else {
      dirtyPages -= 1
      if info.isCharged { chargedPages -= 1 }
      return cache.drop(frame)
    }
    cache.frames[Int(fresh)].isDirty = true
    cache.frames[Int(fresh)].isCharged = info.isCharged
    appendDirty(fresh, state)
    cache.giveBack(frame)
  }
}
