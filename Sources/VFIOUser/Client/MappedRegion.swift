import CMachine
import Glibc
import PCI

/// A part of a region that is mapped into this process.
final class MappedRegion {
  /// The mapping's first byte.
  let base: UnsafeMutableRawPointer
  /// The region's offsets that it covers.
  let offsets: Range<Int>

  /// Maps `offsets` of a region that begins at `start` of the file behind `descriptor`, which the caller
  /// still owns. Nil when that is no whole number of pages, the file is no memory (``PassedFile``) or too
  /// small, or the kernel refuses.
  init?(_ descriptor: Int32, start: UInt64, offsets: Range<Int>) {
    var status = stat()
    guard PassedFile.isMemory(descriptor), let start = Int(exactly: start), !offsets.isEmpty,
      start <= .max - offsets.upperBound,
      fstat(descriptor, &status) == 0, start + offsets.upperBound <= Int(status.st_size),
      (start + offsets.lowerBound) % 4096 == 0,
      let base = mmap(
        nil, offsets.count, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, start + offsets.lowerBound),
      base != MAP_FAILED
    else { return nil }
    guard BusErrorGuard.protect(base, size: offsets.count) else {
      munmap(base, offsets.count)
      return nil
    }
    self.base = base
    self.offsets = offsets
  }

  /// Maps the same offsets of another file at the same address.
  /// - Returns: false when that fails; stores to the mapping are lost then.
  func replace(_ descriptor: Int32, start: UInt64) -> Bool {
    var status = stat()
    guard PassedFile.isMemory(descriptor), let start = Int(exactly: start),
      start <= .max - offsets.upperBound, fstat(descriptor, &status) == 0,
      start + offsets.upperBound <= Int(status.st_size), (start + offsets.lowerBound) % 4096 == 0
    else { return false }
    let mapping = mmap(
      nil, offsets.count, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, start + offsets.lowerBound)
    guard let mapping, mapping != MAP_FAILED else { return false }
    guard cm_replace_mapping(base, mapping, offsets.count) != 0 else { return true }
    munmap(mapping, offsets.count)
    // Keeps the address range reserved.
    _ = mmap(
      base, offsets.count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
    return false
  }

  deinit {
    BusErrorGuard.release(base)
    munmap(base, offsets.count)
  }
}
