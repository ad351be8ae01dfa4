import FileProtocol
import Format

/// Writes that cannot be kept, because what leads to their file's blocks has been damaged since they were acknowledged.
///
/// Only that file is concerned: its fsync fails, and no other request fails or waits.
extension FileSystem {
  /// Gives up all that was written to a file and is not in the log.
  func loseWrites(_ number: UInt64) {
    guard let state = states.find(number) else { return }
    let count = states.slots[state].dirty.count
    var frame = states.slots[state].dirty.first
    while frame != .none {
      let next = cache.frames[Int(frame)].next
      loseDirtyPage(frame, state)
      frame = next
    }
    urgentPages.removeAll { $0.inode == number }
    states.slots[state].hasUnloggedWrites = false
    states.slots[state].hasLostWrites = true
    noteError(
      .checksum,
      "inode \(number) is damaged: \(count) blocks that were written to it are lost; run fsck.varve",
      inode: number)
  }

  private func loseDirtyPage(_ frame: FrameIndex, _ state: Int) {
    cache.remove(frame, from: &states.slots[state].dirty)
    dirtyPages -= 1
    if cache.frames[Int(frame)].isCharged { unchargeLost(cache.frames[Int(frame)].key.number) }
    unpinEverywhere(frame)
    cache.drop(frame)
  }

  private func unchargeLost(_ number: UInt64) {
    chargedPages -= 1
    let frame = cache.find(NodeKey(.inode, number))
    guard frame != .none, cache.frames[Int(frame)].state == .ready else { return }
    let inode = Inode(cache.page(frame), number: number)
    modify(inode.page)
    inode.loseBlock()
  }

  // MARK: Stores to mapped memory

  /// The kernel could not write back what was stored to mapped memory: it tells each opener once, at msync or fsync. Here
  /// every fsync fails from now on, until those bytes have been written after all or were cut off.
  func noteLostWriteback(_ request: Request, _ code: Int32) {
    guard request.isWriteback, let state = states.find(NodeID(raw: request.node).number) else { return }
    let end = request.offset &+ request.length
    let isFirst = states.slots[state].lostFrom >= states.slots[state].lostTo
    states.slots[state].lostFrom =
      isFirst ? request.offset : min(states.slots[state].lostFrom, request.offset)
    states.slots[state].lostTo = isFirst ? end : max(states.slots[state].lostTo, end)
    states.slots[state].lostError = code
  }

  /// These bytes have been written, or are no longer the file's.
  @inline(__always)
  func makeUpForLost(_ number: UInt64, _ bytes: Range<UInt64>) {
    guard let state = states.find(number), states.slots[state].lostFrom < states.slots[state].lostTo else {
      return
    }
    if bytes.contains(states.slots[state].lostFrom) { states.slots[state].lostFrom = bytes.upperBound }
    if bytes.lowerBound < states.slots[state].lostTo, bytes.upperBound >= states.slots[state].lostTo {
      states.slots[state].lostTo = bytes.lowerBound
    }
  }

  /// Writes one inode's pages, and all records, for a request that relies on it.
  /// - Throws: `EIO` when something that was written to it had to be given up, now or since the kernel knows it.
  func commitForCaller(_ number: UInt64, isDurable: Bool = false) throws(Stop) {
    try commitPages(number, isDurable: isDurable)
    guard let state = states.find(number) else { return }
    if states.slots[state].hasLostWrites { throw .fail(Code.io) }
    if states.slots[state].lostFrom < states.slots[state].lostTo {
      throw .fail(states.slots[state].lostError)
    }
  }
}
