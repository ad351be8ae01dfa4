import Glibc
import PCI

/// Owns the mapping of an image file and the map of its pages.
final class ImageMapping {
  let medium: MappedMedium
  private let mapBytes: Int

  /// Maps a file; nil when the system has no room for it, or nobody could tell of bus errors.
  init?(_ file: ImageMedium) {
    mapBytes = file.size / MappedMedium.pageSize / 8 + 1
    let shared = MAP_SHARED | MAP_NORESERVE
    guard let base = mmap(nil, file.size, PROT_READ | PROT_WRITE, shared, file.descriptor, 0),
      base != MAP_FAILED
    else { return nil }
    let anonymous = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
    guard let bits = mmap(nil, mapBytes, PROT_READ | PROT_WRITE, anonymous, -1, 0), bits != MAP_FAILED else {
      munmap(base, file.size)
      return nil
    }
    medium = MappedMedium(
      file: file, base: base, present: bits.assumingMemoryBound(to: UInt8.self))
    for range in file.dataRanges() { medium.markPresent(range) }
    guard BusErrorGuard.protect(base, size: file.size) else { return nil }
  }

  deinit {
    BusErrorGuard.release(medium.base)
    munmap(medium.base, medium.size)
    munmap(medium.present, mapBytes)
  }
}
