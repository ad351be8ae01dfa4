import CMachine
import Glibc

/// An open image file as a medium: the file of an `ImageBacking`.
///
/// Blocks are transferred by preadv and pwritev rather than through a mapping: a full or failing disk then
/// gives an errno, which becomes a status, where a mapping would raise SIGBUS; and RWF_NOWAIT tells whether a
/// read would have to wait for the disk.
struct ImageMedium {
  let descriptor: Int32
  let size: Int
  /// Whether the file lies on a disk, so that an access may have to wait for it.
  let mayBlock: Bool

  private static let vectorLimit = 1024

  func read(into pieces: UnsafeMutablePointer<iovec>, _ count: Int, at offset: Int) -> Int32 {
    transfer(pieces, count, offset) { preadv(descriptor, $0, $1, $2) }
  }

  func readNow(into pieces: UnsafeMutablePointer<iovec>, _ count: Int, at offset: Int) -> Int32 {
    guard mayBlock else { return read(into: pieces, count, at: offset) }
    let failure = transfer(pieces, count, offset) { cm_preadv_nowait(descriptor, $0, $1, $2) }
    return failure == EOPNOTSUPP ? EAGAIN : failure
  }

  /// Writes within the file. A file that was truncated meanwhile is not extended again: the lost part would
  /// then read as zeros instead of failing.
  func write(_ pieces: UnsafeMutablePointer<iovec>, _ count: Int, at offset: Int) -> Int32 {
    var end = offset
    for index in 0..<count { end += pieces[index].iov_len }
    guard lseek(descriptor, 0, SEEK_END) >= end else { return EIO }
    return transfer(pieces, count, offset) { pwritev(descriptor, $0, $1, $2) }
  }

  /// Punches a hole; writes zeros where the filesystem has no holes.
  func zero(at offset: Int, count: Int) -> Int32 {
    if cm_punch_hole(descriptor, offset, count) == 0 { return 0 }
    guard errno == EOPNOTSUPP || errno == ENOSYS else { return errno }
    return writeZeros(at: offset, count: count)
  }

  func synchronize() -> Int32 {
    while fdatasync(descriptor) != 0 {
      if errno != EINTR { return errno }
    }
    return 0
  }

  /// The ranges that are not holes, cut at page boundaries.
  func dataRanges() -> [Range<Int>] {
    var ranges: [Range<Int>] = []
    var position = 0
    while position < size {
      let data = Int(cm_seek_data(descriptor, position))
      guard data >= 0 else { return errno == ENXIO ? ranges : ranges + [position..<size] }
      let hole = Int(cm_seek_hole(descriptor, data))
      let end = hole > data ? min(hole, size) : size
      if data >= size { return ranges }
      let page = SparseImage.pageSize
      ranges.append(data / page * page..<min((end + page - 1) / page * page, size))
      position = end
    }
    return ranges
  }

  /// Runs `call` until every piece is transferred, in batches the system takes.
  @inline(__always)
  private func transfer(
    _ pieces: UnsafeMutablePointer<iovec>, _ count: Int, _ offset: Int,
    _ call: (UnsafePointer<iovec>, Int32, Int) -> Int
  ) -> Int32 {
    var index = 0
    var position = offset
    while index < count {
      var transferred = call(pieces + index, Int32(min(count - index, Self.vectorLimit)), position)
      if transferred < 0 {
        if errno == EINTR { continue }
        return errno
      }
      // The file ends before the namespace does: another process has truncated it.
      if transferred == 0 { return EIO }
      position += transferred
      while index < count, transferred >= pieces[index].iov_len {
        transferred -= pieces[index].iov_len
        index += 1
      }
      if transferred > 0 {
        pieces[index].iov_base = pieces[index].iov_base.map { $0 + transferred }
        pieces[index].iov_len -= transferred
      }
    }
    return 0
  }

  private func writeZeros(at offset: Int, count: Int) -> Int32 {
    let zeros = UnsafeMutableRawBufferPointer.allocate(byteCount: min(count, 1 << 20), alignment: 4096)
    defer { zeros.deallocate() }
    zeros.initializeMemory(as: UInt8.self, repeating: 0)
    var position = offset
    while position < offset + count {
      let length = min(zeros.count, offset + count - position)
      var piece = iovec(iov_base: zeros.baseAddress, iov_len: length)
      let failure = write(&piece, 1, at: position)
      if failure != 0 { return failure }
      position += length
    }
    return 0
  }
}
