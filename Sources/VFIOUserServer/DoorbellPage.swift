import CMachine
import Glibc
import PCI

/// BAR 0's doorbells as memory that a client maps: a file as large as the BAR, of which the part from the
/// doorbells on is used.
final class DoorbellPage {
  /// The descriptor to pass to the client.
  let descriptor: Int32
  /// The file's first byte.
  let base: UnsafeMutableRawPointer
  private let size: Int

  /// Nil when the system has no memory for it.
  init?(size: Int) {
    descriptor = cm_memfd("varve-doorbells")
    guard descriptor >= 0 else { return nil }
    guard ftruncate(descriptor, size) == 0, cm_seal_size(descriptor) == 0,
      let base = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0), base != MAP_FAILED
    else {
      close(descriptor)
      return nil
    }
    self.base = base
    self.size = size
  }

  deinit {
    munmap(base, size)
    close(descriptor)
  }
}
