import Glibc
import PCI

/// Owns the mapping of an image file and the maps of its pages.
final class ImageMapping {
  let medium: MappedMedium
  private let mapBytes: Int

  /// Maps a file; nil when the address space has no room for it, or bus errors cannot be caught.
  init?(_ file: ImageMedium, isReadOnly: Bool) {
    mapBytes = file.size / MappedMedium.pageSize / 8 + 1
    let shared = MAP_SHARED | MAP_NORESERVE
    let access = isReadOnly ? PROT_READ : PROT_READ | PROT_WRITE
    guard let base = mmap(nil, file.size, access, shared, file.descriptor, 0),
      base != MAP_FAILED
    else { return nil }
    // One allocation for all page maps: untouched parts take no memory.
    let anonymous = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
    guard let maps = mmap(nil, 3 * mapBytes, PROT_READ | PROT_WRITE, anonymous, -1, 0), maps != MAP_FAILED
    else {
      munmap(base, file.size)
      return nil
    }
    let bits = maps.assumingMemoryBound(to: UInt8.self)
    let account = UnsafeMutablePointer<PageAccount>.allocate(capacity: 1)
    let data = file.dataRanges()
    account.initialize(to: PageAccount(size: file.size, isFull: data == [0..<file.size]))
    medium = MappedMedium(
      file: file, base: base, access: access, present: PageMap(bits: bits),
      resident: PageMap(bits: bits + mapBytes),
      mapped: PageMap(bits: bits + 2 * mapBytes), account: account)
    for range in data { medium.markPresent(MappedMedium.pages(touching: range)) }
    guard BusErrorGuard.protect(base, size: file.size) else { return nil }
  }

  deinit {
    BusErrorGuard.release(medium.base)
    munmap(medium.base, medium.size)
    munmap(medium.present.bits, 3 * mapBytes)
    medium.account.deinitialize(count: 1)
    medium.account.deallocate()
  }
}
