import Glibc

/// The pieces of host memory a command's data lies in, in order; neighbours are joined.
///
/// The storage is allocated once and grows only for transfers larger than any before.
struct PieceList: ~Copyable {
  private(set) var base: UnsafeMutablePointer<iovec>
  private(set) var count = 0
  private var capacity: Int

  init(capacity: Int) {
    self.capacity = max(capacity, 16)
    base = .allocate(capacity: self.capacity)
  }

  deinit { base.deallocate() }

  @inline(__always)
  mutating func clear() { count = 0 }

  @inline(__always)
  mutating func append(_ pointer: UnsafeMutableRawPointer, _ length: Int) {
    if count > 0, let before = base[count - 1].iov_base, before + base[count - 1].iov_len == pointer {
      base[count - 1].iov_len += length
      return
    }
    if count == capacity { grow() }
    base[count] = iovec(iov_base: pointer, iov_len: length)
    count += 1
  }

  /// Copies bytes into the pieces, as many as both have.
  func fill(from bytes: UnsafeRawBufferPointer) {
    var rest = bytes
    for index in 0..<count where !rest.isEmpty {
      let length = min(base[index].iov_len, rest.count)
      if let piece = base[index].iov_base, let start = rest.baseAddress { memcpy(piece, start, length) }
      rest = UnsafeRawBufferPointer(rebasing: rest[length...])
    }
  }

  /// Copies the pieces out, as many bytes as both have.
  func copy(to bytes: UnsafeMutableRawBufferPointer) {
    var rest = bytes
    for index in 0..<count where !rest.isEmpty {
      let length = min(base[index].iov_len, rest.count)
      if let piece = base[index].iov_base, let start = rest.baseAddress { memcpy(start, piece, length) }
      rest = UnsafeMutableRawBufferPointer(rebasing: rest[length...])
    }
  }

  private mutating func grow() {
    let larger = UnsafeMutablePointer<iovec>.allocate(capacity: capacity * 2)
    larger.update(from: base, count: count)
    base.deallocate()
    base = larger
    capacity *= 2
  }
}
