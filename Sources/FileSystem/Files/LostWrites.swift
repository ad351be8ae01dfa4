import FileProtocol
import Format

/// What was written to a file and had to be given up. The error is thrown by `Log.commitPages`, which fsync and
/// rename use.
struct LostWrites {
  /// Pages that could not be kept, because what leads to the file's blocks is damaged.
  private(set) var hasPages = false
  /// The bytes that were stored to mapped memory and could not be written back, and why; empty when there are
  /// none.
  private var from: UInt64 = 0
  private var to: UInt64 = 0
  private var code: Int32 = 0

  /// The error of stores that could not be written back; 0 when there are none.
  var storeError: Int32 { from < to ? code : 0 }

  mutating func losePages() { hasPages = true }

  /// The kernel could not write back what was stored to mapped memory: it tells each opener once, at msync or
  /// fsync. Here every fsync fails from now on, until those bytes have been written after all or were cut
  /// off.
  mutating func loseStores(_ bytes: Range<UInt64>, _ code: Int32) {
    let isFirst = from >= to
    from = isFirst ? bytes.lowerBound : min(from, bytes.lowerBound)
    to = isFirst ? bytes.upperBound : max(to, bytes.upperBound)
    self.code = code
  }

  /// These bytes have been written, or are no longer the file's.
  @inline(__always)
  mutating func makeUp(for bytes: Range<UInt64>) {
    guard from < to else { return }
    if bytes.contains(from) { from = bytes.upperBound }
    if bytes.lowerBound < to, bytes.upperBound >= to { to = bytes.lowerBound }
  }
}

/// Writes that cannot be kept, because what leads to their file's blocks has been damaged since they were
/// acknowledged.
///
/// Only that file is concerned: its fsync fails, and no other request fails or waits.
extension Pages {
  /// Gives up all that was written to a file and is not in the log.
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

  /// A write-back of the kernel's has failed.
  func loseStores(_ request: Request, _ code: Int32) {
    guard request.isWriteback, let state = states.find(NodeID(raw: request.node).number) else { return }
    let (end, overflows) = request.offset.addingReportingOverflow(request.length)
    states[state].lost.loseStores(request.offset..<(overflows ? .max : end), code)
  }

  /// These bytes of a file have been written, or are no longer the file's.
  @inline(__always)
  func makeUpForLost(_ number: UInt64, _ bytes: Range<UInt64>) {
    guard let state = states.find(number) else { return }
    states[state].lost.makeUp(for: bytes)
  }
}
