import Glibc

/// Memory as a medium: the bytes of a `MemoryBacking`.
struct MemoryMedium {
  let base: UnsafeMutableRawPointer
  let size: Int

  @inline(__always)
  func read(into pieces: UnsafeMutablePointer<iovec>, _ count: Int, at offset: Int) -> Int32 {
    var position = base + offset
    for index in 0..<count {
      let length = pieces[index].iov_len
      if let piece = pieces[index].iov_base { memcpy(piece, position, length) }
      position += length
    }
    return 0
  }

  @inline(__always)
  func write(_ pieces: UnsafeMutablePointer<iovec>, _ count: Int, at offset: Int) -> Int32 {
    var position = base + offset
    for index in 0..<count {
      let length = pieces[index].iov_len
      if let piece = pieces[index].iov_base { memcpy(position, piece, length) }
      position += length
    }
    return 0
  }

  /// Zeroes a range; whole pages go back to the kernel, and read as zeros.
  func zero(at offset: Int, count: Int) -> Int32 {
    let page = 4096
    let start = (offset + page - 1) / page * page
    let end = (offset + count) / page * page
    guard start < end, madvise(base + start, end - start, MADV_DONTNEED) == 0 else {
      memset(base + offset, 0, count)
      return 0
    }
    memset(base + offset, 0, start - offset)
    memset(base + end, 0, offset + count - end)
    return 0
  }
}
