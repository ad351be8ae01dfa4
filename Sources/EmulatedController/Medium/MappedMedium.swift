import Glibc
import PCI

/// An image file that lies in memory anyway (tmpfs), mapped: blocks are copied without a system call.
///
/// A mapping is safe only over pages the file has: touching a hole would take memory, and raise SIGBUS when there
/// is none. So a map of the pages the file has is kept; reading a hole gives zeros, and writing one goes through
/// pwrite, whose failure is an errno. What is left, a file cut short by somebody else, is told by `BusErrorGuard`.
struct MappedMedium {
  let file: ImageMedium
  let base: UnsafeMutableRawPointer
  /// A bit for every page the file has.
  let present: UnsafeMutablePointer<UInt8>

  /// The size of a page in bytes.
  static let pageSize = 4096

  var size: Int { file.size }

  @inline(__always)
  func read(into pieces: UnsafeMutablePointer<iovec>, _ count: Int, at offset: Int) -> Int32 {
    let before = BusErrorGuard.count
    var position = offset
    for index in 0..<count {
      let (target, length) = (pieces[index].iov_base, pieces[index].iov_len)
      if let target { readRange(into: target, position, length) }
      position += length
    }
    return BusErrorGuard.count == before ? 0 : mend()
  }

  @inline(__always)
  func write(_ pieces: UnsafeMutablePointer<iovec>, _ count: Int, at offset: Int) -> Int32 {
    var total = 0
    for index in 0..<count { total += pieces[index].iov_len }
    if total > 0, run(offset, total) == (false, total) { return fill(from: pieces, count, total, at: offset) }
    let before = BusErrorGuard.count
    var position = offset
    for index in 0..<count {
      let (source, length) = (pieces[index].iov_base, pieces[index].iov_len)
      if let source {
        let failure = writeRange(from: source, position, length)
        guard failure == 0 else { return failure }
      }
      position += length
    }
    return BusErrorGuard.count == before ? 0 : mend()
  }

  /// Punches a hole.
  func zero(at offset: Int, count: Int) -> Int32 {
    let failure = file.zero(at: offset, count: count)
    guard failure == 0 else { return failure }
    let first = (offset + Self.pageSize - 1) / Self.pageSize
    let end = (offset + count) / Self.pageSize
    if first < end { for page in first..<end { present[page >> 3] &= ~(1 << UInt8(page & 7)) } }
    return 0
  }

  /// Takes down that the file has the pages of a range.
  func markPresent(_ range: Range<Int>) {
    guard !range.isEmpty else { return }
    for page in range.lowerBound / Self.pageSize...(range.upperBound - 1) / Self.pageSize {
      present[page >> 3] |= 1 << UInt8(page & 7)
    }
  }

  @inline(__always)
  private func isPresent(_ page: Int) -> Bool { present[page >> 3] & 1 << UInt8(page & 7) != 0 }

  /// How many of the `length` bytes from `position` lie in pages that are there or not as the first one.
  @inline(__always)
  private func run(_ position: Int, _ length: Int) -> (isPresent: Bool, length: Int) {
    let first = position / Self.pageSize
    let state = isPresent(first)
    var end = (first + 1) * Self.pageSize
    while end < position + length, isPresent(end / Self.pageSize) == state { end += Self.pageSize }
    return (state, min(length, end - position))
  }

  @inline(__always)
  private func readRange(into target: UnsafeMutableRawPointer, _ position: Int, _ length: Int) {
    var done = 0
    while done < length {
      let (isPresent, count) = run(position + done, length - done)
      if isPresent {
        memcpy(target + done, base + position + done, count)
      } else {
        memset(target + done, 0, count)
      }
      done += count
    }
  }

  @inline(__always)
  private func writeRange(from source: UnsafeMutableRawPointer, _ position: Int, _ length: Int) -> Int32 {
    var done = 0
    while done < length {
      let (isPresent, count) = run(position + done, length - done)
      if isPresent {
        memcpy(base + position + done, source + done, count)
      } else {
        let failure = fill(from: source + done, position + done, count)
        guard failure == 0 else { return failure }
      }
      done += count
    }
    return 0
  }

  /// Writes pages the file does not have yet, as a log does most of the time: in one call.
  @inline(never)
  private func fill(
    from pieces: UnsafeMutablePointer<iovec>, _ count: Int, _ total: Int, at offset: Int
  ) -> Int32 {
    let failure = file.write(pieces, count, at: offset)
    if failure == 0 { markPresent(offset..<offset + total) }
    return failure
  }

  /// Writes pages the file does not have yet.
  @inline(never)
  private func fill(from source: UnsafeMutableRawPointer, _ position: Int, _ length: Int) -> Int32 {
    var piece = iovec(iov_base: source, iov_len: length)
    let failure = file.write(&piece, 1, at: position)
    if failure == 0 { markPresent(position..<position + length) }
    return failure
  }

  /// Maps the file anew, in place of what the guard laid over it, so that the next access fails again rather than
  /// finding something made up.
  @inline(never)
  private func mend() -> Int32 {
    mmap(base, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file.descriptor, 0)
    return EIO
  }
}
