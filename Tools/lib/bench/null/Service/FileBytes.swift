import Glibc

/// A file's data in memory, with holes.
final class FileBytes {
  private static let chunkSize = 1 << 12
  private var chunks: [UnsafeMutableRawPointer?] = []

  deinit { for chunk in chunks { free(chunk) } }

  /// The bytes in chunks that exist.
  var allocated: UInt64 { UInt64(chunks.lazy.filter { $0 != nil }.count * Self.chunkSize) }

  /// Copies `count` bytes at `offset` to `target`; zeros where nothing was written.
  func read(_ target: UnsafeMutableRawPointer, offset: Int, count: Int) {
    walk(offset, count) { index, start, length, done in
      if index < chunks.count, let chunk = chunks[index] {
        memcpy(target + done, chunk + start, length)
      } else {
        memset(target + done, 0, length)
      }
      return true
    }
  }

  /// Copies `count` bytes from `source` to `offset`.
  /// - Returns: false when there is no memory for them.
  func write(_ source: UnsafeRawPointer, offset: Int, count: Int) -> Bool {
    walk(offset, count) { index, start, length, done in
      guard let chunk = chunk(index) else { return false }
      memcpy(chunk + start, source + done, length)
      return true
    }
  }

  /// Makes `count` bytes at `offset` read as zeros.
  func zero(offset: Int, count: Int) {
    let end = min(offset + count, chunks.count * Self.chunkSize)
    guard offset < end else { return }
    walk(offset, end - offset) { index, start, length, _ in
      if length == Self.chunkSize {
        free(chunks[index])
        chunks[index] = nil
      } else if let chunk = chunks[index] {
        memset(chunk + start, 0, length)
      }
      return true
    }
  }

  /// The first byte from `offset` on that is data, or a hole; nil when there is none in the chunks.
  func next(data: Bool, from offset: Int) -> Int? {
    var index = offset / Self.chunkSize
    while index < chunks.count {
      if (chunks[index] != nil) == data { return max(offset, index * Self.chunkSize) }
      index += 1
    }
    return data ? nil : max(offset, index * Self.chunkSize)
  }

  private func chunk(_ index: Int) -> UnsafeMutableRawPointer? {
    if index >= chunks.count {
      chunks.append(contentsOf: repeatElement(nil, count: index + 1 - chunks.count))
    }
    if chunks[index] == nil { chunks[index] = calloc(1, Self.chunkSize) }
    return chunks[index]
  }

  /// Calls `body` with each chunk's index, the start and length in it, and the bytes before it.
  @discardableResult
  private func walk(_ offset: Int, _ count: Int, _ body: (Int, Int, Int, Int) -> Bool) -> Bool {
    var done = 0
    while done < count {
      let start = (offset + done) % Self.chunkSize
      let length = min(Self.chunkSize - start, count - done)
      guard body((offset + done) / Self.chunkSize, start, length, done) else { return false }
      done += length
    }
    return true
  }
}
