import CMachine
import EmulatedController
import Glibc
import PCI

/// A DMA region of a client: the client's memory, mapped here, or room for copies of it where the client
/// passed no descriptor.
final class DMARegion {
  /// Its address for the device.
  let address: UInt64
  /// Its size in bytes.
  let size: UInt64
  /// Whether it is room for copies.
  let isRemote: Bool
  let base: UnsafeMutableRawPointer

  /// The largest region of remote memory: pages are allocated only when used, but the address space is
  /// limited.
  private static let remoteLimit = 1 << 42

  /// Maps `size` bytes of a file from `offset` on; the file has to be memory (`PassedFile`).
  /// - Throws: the system's error number: EINVAL when the file does not have them.
  init(
    _ descriptor: Int32, offset: UInt64, size: UInt64, at address: UInt64, access: HostAccess
  ) throws(DMARegionError) {
    var status = stat()
    guard let length = Int(exactly: size), let start = Int(exactly: offset), start <= .max - length,
      fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
      start + length <= Int(status.st_size)
    else { throw DMARegionError(errno: EINVAL) }
    let protection = PROT_READ | (access.contains(.write) ? PROT_WRITE : 0)
    guard let base = mmap(nil, length, protection, MAP_SHARED, descriptor, start), base != MAP_FAILED else {
      throw DMARegionError(errno: errno)
    }
    // The client may truncate its file at any time.
    guard BusErrorGuard.protect(base, size: length) else {
      munmap(base, length)
      throw DMARegionError(errno: ENOMEM)
    }
    self.base = base
    self.size = size
    self.address = address
    isRemote = false
  }

  /// Reserves room for copies of `size` bytes.
  init(remote size: UInt64, at address: UInt64) throws(DMARegionError) {
    guard let length = Int(exactly: size), length <= Self.remoteLimit else {
      throw DMARegionError(errno: EINVAL)
    }
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
    guard let base = mmap(nil, length, PROT_READ | PROT_WRITE, flags, -1, 0), base != MAP_FAILED else {
      throw DMARegionError(errno: errno)
    }
    self.base = base
    self.size = size
    self.address = address
    isRemote = true
  }

  deinit {
    if !isRemote { BusErrorGuard.release(base) }
    munmap(base, Int(size))
  }

  /// Frees the memory of copies; to be called while none is in use.
  func releaseCopies() {
    if isRemote { madvise(base, Int(size), MADV_DONTNEED) }
  }
}

/// Why a region could not be mapped.
struct DMARegionError: Error {
  let errno: Int32
}
