import FileProtocol
import Format

/// Keeping the kernel's page and attribute caches coherent with direct writes and access times.
///
/// The kernel drops its cached pages of a direct write's range when it sends the write, and for an
/// asynchronous write not again afterwards. A page that is read, or written through the cache, between that
/// moment and the moment in which the write is carried out would show old data for as long as it is cached.
/// So the reply to a direct write has the kernel's pages of that range dropped, if the file may have any:
/// it names the bytes (`staleBytes`), and Mount's `PageForgetter` has the kernel drop them.
///
/// The kernel does not report reads from its cache. But before it reads up to a file's end it sends GETATTR
/// for attributes that are no longer valid, with a flag that a read follows: that updates the access time.
extension Operations {
  /// A read or write came through the kernel's page cache: pages of the file may be left there.
  @inline(__always)
  func usedKernelCache(_ request: Request) {
    guard !request.isDirect, let state = states.find(NodeID(raw: request.node).number) else { return }
    states[state].kernel.usedCache(isWrite: request.operation == .write)
  }

  // MARK: Reads from the kernel's cache

  /// Whether the kernel may keep cached pages when a file is opened again. Not where every read is to update
  /// the access time: then the first read after each open must come here.
  var keepsKernelCache: Bool { options.accessTimes != .always }

  /// The kernel sent GETATTR. Before a read from its cache it updates the access time; otherwise the reply
  /// may get no validity time, so that the kernel sends GETATTR again before a read.
  func answerQuestion(_ slot: Int, _ inode: Inode) {
    guard inode.isRegular else { return }
    if requests[slot].isForReading { return touchAccessTime(inode) }
    guard let state = states.find(inode.number), states[state].kernel.doubtfulAnswers > 0, isAccessDue(inode)
    else { return }
    states[state].kernel.answeredDoubtfully()
    replies[slot].isDoubtful = true
  }

  // MARK: Writes that the kernel holds

  /// Before an operation that depends on all that was written to a file: with a write-back cache the kernel may
  /// not have sent it yet, and does not by itself.
  /// - Returns: whether the request comes again after that; the operation must not go on then.
  func isPostponed(_ slot: Int, untilWrittenBack inode: Inode) -> Bool {
    guard !requests[slot].isWrittenBack, inode.isRegular else { return false }
    replies[slot].writtenBackFirst = inode.id.raw
    finish(slot)
    return true
  }

  // MARK: Direct writes

  /// A direct write of these bytes was carried out; the reply says which cached pages the kernel must drop,
  /// and that the size changed: the kernel updates the size by itself, unless the file was truncated after it
  /// sent the write.
  func wroteDirectly(_ slot: Int, _ inode: Inode, _ bytes: Range<UInt64>, isLonger: Bool) {
    if isLonger { replies[slot].attributesChanged = true }
    guard let state = states.find(inode.number), states[state].kernel.mayBeCached else { return }
    replies[slot].staleBytes = bytes
    if states[state].kernel.wroteDirectly() { replies[slot].staleBytes = 0..<UInt64(Int64.max) }
  }
}
