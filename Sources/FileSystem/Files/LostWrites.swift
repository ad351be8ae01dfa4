import FileProtocol
import Format

/// Acknowledged writes to a file that were lost. `Log.commitPages`, which fsync and rename use, returns the
/// error.
///
/// There are two kinds. Pages that were dropped because of damage count for as long as the kernel has the inode
/// looked up. A failed write-back by the kernel counts, at every fsync, until those bytes are written again
/// (`Operations.write`) or cut off (`FileContents.setSize`); `Operations.run` records it where a request fails.
struct LostWrites {
  /// Dirty pages were dropped because the file's inode or map is damaged.
  private(set) var hasPages = false
  /// The range of bytes stored to mapped memory whose write-back failed, and its errno; empty when there is
  /// none.
  private var from: UInt64 = 0
  private var to: UInt64 = 0
  private var code: Int32 = 0

  /// The errno of failed write-back; 0 when there is none.
  var storeError: Int32 { from < to ? code : 0 }

  mutating func losePages() { hasPages = true }

  /// Records a failed write-back, of stores to mapped memory or of a write-back cache. The kernel reports it
  /// once to each open file, at msync or fsync. Here every fsync fails from now on, until those bytes have been
  /// written again or truncated.
  mutating func loseStores(_ bytes: Range<UInt64>, _ code: Int32) {
    let isFirst = from >= to
    from = isFirst ? bytes.lowerBound : min(from, bytes.lowerBound)
    to = isFirst ? bytes.upperBound : max(to, bytes.upperBound)
    self.code = code
  }

  /// Forgets the loss of bytes that have been written again or truncated.
  @inline(__always)
  mutating func makeUp(for bytes: Range<UInt64>) {
    guard from < to else { return }
    if bytes.contains(from) { from = bytes.upperBound }
    if bytes.lowerBound < to, bytes.upperBound >= to { to = bytes.lowerBound }
  }
}

/// Giving up acknowledged writes, because their file's inode or map has been found damaged since.
///
/// Only that file is affected: its fsync fails, and no other request fails or waits.
extension Pages {
  /// Drops everything that was written to a file and is not in the log.
  func loseWrites(_ number: UInt64) {
    guard let state = states.find(number) else { return }
    let count = dropUnwritable(state)
    uncommitted.removeUrgent { $0.inode == number }
    uncommitted.forgetWrites(state)
    states[state].lost.losePages()
    errors.record(
      .checksum,
      "inode \(number) is damaged: \(count) blocks that were written to it are lost; run fsck.varve",
      inode: number)
  }

  /// Records that a write-back by the kernel has failed.
  func loseStores(_ request: Request, _ code: Int32) {
    guard request.isWriteback, let state = states.find(NodeID(raw: request.node).number) else { return }
    let (end, overflows) = request.offset.addingReportingOverflow(request.length)
    states[state].lost.loseStores(request.offset..<(overflows ? .max : end), code)
  }

  /// Forgets the loss of bytes of a file that have been written again or truncated.
  @inline(__always)
  func makeUpForLost(_ number: UInt64, _ bytes: Range<UInt64>) {
    guard let state = states.find(number) else { return }
    states[state].lost.makeUp(for: bytes)
  }
}
