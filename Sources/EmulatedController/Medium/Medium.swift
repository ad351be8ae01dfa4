import Glibc

/// Storage of a namespace's blocks: bytes that are read, written, zeroed and made durable.
///
/// Operations return 0 or an errno. The caller has checked offsets and lengths against `size`. A call may
/// change the list of pieces.
enum Medium {
  case memory(MemoryMedium)
  case image(ImageMedium)
  case mapped(MappedMedium)

  /// The size in bytes.
  var size: Int {
    switch self {
    case .memory(let memory): memory.size
    case .image(let image): image.size
    case .mapped(let mapped): mapped.size
    }
  }

  /// Whether an operation may have to wait for a disk.
  var mayBlock: Bool {
    switch self {
    case .memory, .mapped: false
    case .image(let image): image.mayBlock
    }
  }

  /// Reads from `offset` into the pieces.
  @inline(__always)
  func read(into pieces: UnsafeMutablePointer<iovec>, _ count: Int, at offset: Int) -> Int32 {
    switch self {
    case .memory(let memory): memory.read(into: pieces, count, at: offset)
    case .image(let image): image.read(into: pieces, count, at: offset)
    case .mapped(let mapped): mapped.read(into: pieces, count, at: offset)
    }
  }

  /// Reads if that does not block, otherwise returns EAGAIN, having read nothing or a part.
  @inline(__always)
  func readNow(into pieces: UnsafeMutablePointer<iovec>, _ count: Int, at offset: Int) -> Int32 {
    switch self {
    case .memory(let memory): memory.read(into: pieces, count, at: offset)
    case .image(let image): image.readNow(into: pieces, count, at: offset)
    case .mapped(let mapped): mapped.read(into: pieces, count, at: offset)
    }
  }

  /// Writes the pieces from `offset` on.
  @inline(__always)
  func write(_ pieces: UnsafeMutablePointer<iovec>, _ count: Int, at offset: Int) -> Int32 {
    switch self {
    case .memory(let memory): memory.write(pieces, count, at: offset)
    case .image(let image): image.write(pieces, count, at: offset)
    case .mapped(let mapped): mapped.write(pieces, count, at: offset)
    }
  }

  /// Makes a range read as zeros and gives its space back.
  func zero(at offset: Int, count: Int) -> Int32 {
    guard count > 0 else { return 0 }
    return switch self {
    case .memory(let memory): memory.zero(at: offset, count: count)
    case .image(let image): image.zero(at: offset, count: count)
    case .mapped(let mapped): mapped.zero(at: offset, count: count)
    }
  }

  /// Makes all that was written durable.
  func synchronize() -> Int32 {
    switch self {
    // Memory and tmpfs have nothing to flush to.
    case .memory, .mapped: 0
    case .image(let image): image.synchronize()
    }
  }

  /// The contents as a value; what cannot be read is zeros.
  func snapshot() -> SparseImage {
    var image = SparseImage(size: size)
    var page = [UInt8](repeating: 0, count: SparseImage.pageSize)
    for range in dataRanges() {
      var offset = range.lowerBound
      while offset < range.upperBound {
        let length = min(page.count, range.upperBound - offset)
        page.withUnsafeMutableBytes { bytes in
          var piece = iovec(iov_base: bytes.baseAddress, iov_len: length)
          if read(into: &piece, 1, at: offset) != 0 {
            _ = bytes.initializeMemory(as: UInt8.self, repeating: 0)
          }
        }
        image.replace(at: offset, with: page.prefix(length))
        offset += length
      }
    }
    return image
  }

  /// Changes the medium's contents from `old` to `new`.
  func restore(_ new: SparseImage, from old: SparseImage) {
    for number in old.pages.keys where new.pages[number] == nil {
      let offset = number * SparseImage.pageSize
      _ = zero(at: offset, count: min(SparseImage.pageSize, size - offset))
    }
    for (number, page) in new.pages where old.pages[number] != page {
      var bytes = page
      let offset = number * SparseImage.pageSize
      bytes.withUnsafeMutableBytes {
        var piece = iovec(iov_base: $0.baseAddress, iov_len: min($0.count, size - offset))
        _ = write(&piece, 1, at: offset)
      }
    }
  }

  /// Where there may be anything but zeros, cut at page boundaries.
  private func dataRanges() -> [Range<Int>] {
    switch self {
    case .memory(let memory): [0..<memory.size]
    case .image(let image): image.dataRanges()
    case .mapped(let mapped): mapped.file.dataRanges()
    }
  }
}
