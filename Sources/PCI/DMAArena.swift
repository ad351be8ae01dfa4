import CMachine
import Glibc

/// A memory range that a device may read and write, mapped for it once and as a whole.
///
/// It is divided into 4 KiB frames, identified by number; frame `n` is at `base + n * 4096` for the processor
/// and at `iova + n * 4096` for the device. Both, and the kernel's copies, are faster over huge pages, which
/// are used where the kernel provides them.
public final class DMAArena: @unchecked Sendable {
  /// The size of a frame in bytes.
  public static let frameSize = 4096

  /// The first byte, page-aligned, zeroed at creation.
  public let base: UnsafeMutableRawPointer
  /// The size in bytes, a multiple of `frameSize`.
  public let size: Int
  /// The memfd behind the memory, which a transport may pass to another process, offset 0; nil where the
  /// memory is private.
  public let descriptor: Int32?
  /// The address of `base` for the device, set by `PCIFunction.map`; `UInt64.max` while it is not mapped.
  public var iova: UInt64 = .max

  /// The number of frames.
  public var frameCount: Int { size / Self.frameSize }

  private let mapping: Mapping

  /// Makes an arena of `frames` frames.
  ///
  /// - Parameter isShared: whether another process may have to map it. Private memory gets transparent huge
  ///   pages with the kernel's defaults; shared memory gets huge pages only where the administrator has
  ///   reserved some.
  /// - Throws: `FunctionError` when the system has no memory for it.
  public init(
    frames: Int, name: String = "varve", isShared: Bool = true
  ) throws(FunctionError) {
    let (bytes, overflow) = max(frames, 1).multipliedReportingOverflow(by: Self.frameSize)
    guard !overflow, bytes <= Int.max - 2 * Mapping.hugePageSize else {
      throw FunctionError("a DMA arena of \(frames) frames is too large", errno: ENOMEM)
    }
    guard let mapping: Mapping = isShared ? .shared(name, bytes) : .own(bytes) else {
      let remedy = errno == EFBIG ? "raise the limit on file sizes: ulimit -f unlimited" : "free some memory"
      throw FunctionError("no memory for a DMA arena of \(bytes) bytes", remedy: remedy, errno: errno)
    }
    self.mapping = mapping
    size = bytes
    base = mapping.start
    descriptor = mapping.descriptor
    // For kernels that give transparent huge pages only on request.
    madvise(base, size, MADV_HUGEPAGE)
  }

  deinit { mapping.end() }

  /// The address of frame `frame` for the processor.
  @inline(__always)
  public func pointer(_ frame: UInt32) -> UnsafeMutableRawPointer { base + Int(frame) * Self.frameSize }

  /// The address of frame `frame` for the device.
  @inline(__always)
  public func address(_ frame: UInt32) -> UInt64 { iova &+ UInt64(frame) * UInt64(Self.frameSize) }
}

/// The mapping behind an arena.
private struct Mapping {
  /// The size of a huge page in bytes.
  static let hugePageSize = 2 << 20

  private var base: UnsafeMutableRawPointer
  private var size: Int
  /// Where the arena begins in it.
  var start: UnsafeMutableRawPointer
  var descriptor: Int32?

  /// Memory that another process can map too. With reserved huge pages the size must be a multiple of them.
  static func shared(_ name: String, _ bytes: Int) -> Mapping? {
    let huge = bytes % hugePageSize == 0 ? file(cm_memfd_huge(name), bytes) : nil
    return huge ?? file(cm_memfd(name), bytes)
  }

  /// Private memory: reserved huge pages, or memory aligned so that the kernel can use transparent ones.
  static func own(_ bytes: Int) -> Mapping? {
    let whole = (bytes + hugePageSize - 1) / hugePageSize * hugePageSize
    if bytes >= hugePageSize, let base = anonymous(whole, MAP_HUGETLB) {
      return Mapping(base: base, size: whole, start: base)
    }
    guard let base = anonymous(whole + hugePageSize, 0) else { return nil }
    return Mapping(base: base, size: whole + hugePageSize, start: base.alignedUp(toMultipleOf: hugePageSize))
  }

  private static func anonymous(_ size: Int, _ flags: Int32) -> UnsafeMutableRawPointer? {
    let memory = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0)
    return memory == MAP_FAILED ? nil : memory
  }

  /// Sets the size of a memfd and maps it; on failure the memfd is closed, with the reason in `errno`.
  private static func file(_ descriptor: Int32, _ size: Int) -> Mapping? {
    guard descriptor >= 0 else { return nil }
    // The limit on file sizes applies to a memfd too. Exceeding it must be an error, not a fatal signal.
    signal(SIGXFSZ, SIG_IGN)
    if ftruncate(descriptor, size) == 0,
      let base = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0), base != MAP_FAILED
    {
      return Mapping(base: base, size: size, start: base, descriptor: descriptor)
    }
    let code = errno
    Glibc.close(descriptor)
    errno = code
    return nil
  }

  func end() {
    munmap(base, size)
    if let descriptor { Glibc.close(descriptor) }
  }
}
