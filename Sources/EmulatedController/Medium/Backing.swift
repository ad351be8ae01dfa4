import Glibc
import PCI

/// Owns the storage of a medium's bytes, and releases it when it is deinitialized.
protocol Backing: AnyObject {
  /// Access to the bytes, valid as long as the backing lives.
  var medium: Medium { get }
}

/// Private memory, zeros at first; pages are allocated by the system when they are written.
final class MemoryBacking: Backing {
  private let base: UnsafeMutableRawPointer
  private let size: Int

  var medium: Medium { .memory(MemoryMedium(base: base, size: size)) }

  init(bytes: Int) throws(FunctionError) {
    size = max(bytes, 4096)
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
    guard let mapped = mmap(nil, size, PROT_READ | PROT_WRITE, flags, -1, 0), mapped != MAP_FAILED else {
      throw FunctionError(
        "no memory for a namespace of \(bytes) bytes", remedy: "make it smaller", errno: errno)
    }
    base = mapped
  }

  /// Memory with the contents of `image`.
  convenience init(_ image: SparseImage) throws(FunctionError) {
    try self.init(bytes: image.size)
    for (number, page) in image.pages {
      let offset = number * SparseImage.pageSize
      let length = min(page.count, size - offset)
      page.withUnsafeBytes { bytes in
        if let start = bytes.baseAddress { (base + offset).copyMemory(from: start, byteCount: length) }
      }
    }
  }

  deinit { munmap(base, size) }
}
