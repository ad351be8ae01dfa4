import FileProtocol
import Format

/// What the kernel keeps of a file by itself, and what must go when the file is written past it.
///
/// The kernel drops its cached pages of a direct write's range when it sends the write, and for an
/// asynchronous one never again. A page that was read, or written through the cache, between that moment and
/// the one in which the write was carried out would show old data for as long as it stays. So a direct write
/// to a file of which there may be cached pages has them forgotten before it is answered: the reply names the bytes (`staleBytes`), and Mount's `PageForgetter`
/// has the kernel forget them.
///
/// Of reading from its cache the kernel says nothing. But it asks for attributes it is not sure of before it
/// reads up to a file's end, and says then that it is going to read: that moves the access time.
extension Operations {
  /// A read or write came through the kernel's cache: pages of the file may be left there.
  @inline(__always)
  func usedKernelCache(_ request: Request) {
    guard !request.isDirect, let state = states.find(NodeID(raw: request.node).number) else { return }
    states[state].kernel.usedCache(isWrite: request.operation == .write)
  }

  // MARK: Reads from the kernel's cache

  /// Whether the kernel may use what it has cached of a file that is opened again. Not where every reading is
  /// to move the access time: then the first reading after each opening comes here.
  var keepsKernelCache: Bool { options.accessTimes != .always }

  /// The kernel sent GETATTR: before a read from its cache, or for another reason. Then the answer is valid
  /// for no time, so that it sends another before the read.
  func answerQuestion(_ slot: Int, _ inode: Inode) {
    guard inode.isRegular else { return }
    if requests[slot].isForReading { return touchAccessTime(inode) }
    guard let state = states.find(inode.number), states[state].kernel.doubtfulAnswers > 0, isAccessDue(inode)
    else { return }
    states[state].kernel.answeredDoubtfully()
    replies[slot].isDoubtful = true
  }

  // MARK: Direct writes

  /// A direct write of these bytes was carried out; its answer says what the kernel must forget. That it made
  /// the file longer the kernel knows, unless the file was cut after it sent the write.
  func wroteDirectly(_ slot: Int, _ inode: Inode, _ bytes: Range<UInt64>, isLonger: Bool) {
    if isLonger { replies[slot].attributesChanged = true }
    guard let state = states.find(inode.number), states[state].kernel.mayBeCached else { return }
    replies[slot].staleBytes = bytes
    if states[state].kernel.wroteDirectly() { replies[slot].staleBytes = 0..<UInt64(Int64.max) }
  }
}
