import CMachine
import Glibc

/// A stretch of memory a device may read and write, mapped for it once and as a whole.
///
/// It is divided into 4 KiB frames, named by number; frame `n` lies at `base + n * 4096` for the processor and at
/// `iova + n * 4096` for the device. The memory is a memfd, so that another process can map it too.
public final class DMAArena: @unchecked Sendable {
  /// The size of a frame in bytes.
  public static let frameSize = 4096

  /// The first byte, page-aligned, zeroed at creation.
  public let base: UnsafeMutableRawPointer
  /// The size in bytes, a multiple of `frameSize`.
  public let size: Int
  /// The memfd behind the memory; a transport may pass it on, offset 0.
  public let descriptor: Int32
  /// The address of `base` for the device, set by `Function.map`; `UInt64.max` while it is not mapped.
  public var iova: UInt64 = .max

  /// The number of frames.
  public var frameCount: Int { size / Self.frameSize }

  /// Makes an arena of `frames` frames, on NUMA node `node` where that is said and has memory.
  ///
  /// Huge pages are used where the system has some to spare and the size is a multiple of theirs.
  /// - Throws: `FunctionError` when the system has no memory for it.
  public init(frames: Int, name: String = "varve", node: Int? = nil) throws(FunctionError) {
    let (bytes, overflow) = max(frames, 1).multipliedReportingOverflow(by: Self.frameSize)
    guard !overflow else {
      throw FunctionError("a DMA arena of \(frames) frames is too large", errno: ENOMEM)
    }
    let huge = bytes % Self.hugePageSize == 0 ? Self.memory(cm_memfd_huge(name), bytes) : nil
    guard let memory = huge ?? Self.memory(cm_memfd(name), bytes) else {
      throw FunctionError(
        "no memory for a DMA arena of \(bytes) bytes", remedy: "free some memory", errno: errno)
    }
    size = bytes
    (descriptor, base) = memory
    if let node { NUMA.prefer(node, for: base, size: size) }
    // Where the system grants shared memory transparent huge pages on request.
    madvise(base, size, MADV_HUGEPAGE)
  }

  /// The size of a huge page in bytes.
  private static let hugePageSize = 2 << 20

  /// Sizes and maps the memfd `descriptor`, which is closed when that fails, with the reason in `errno`.
  private static func memory(_ descriptor: Int32, _ size: Int) -> (Int32, UnsafeMutableRawPointer)? {
    guard descriptor >= 0 else { return nil }
    if ftruncate(descriptor, size) == 0,
      let base = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0), base != MAP_FAILED
    {
      return (descriptor, base)
    }
    let code = errno
    Glibc.close(descriptor)
    errno = code
    return nil
  }

  deinit {
    munmap(base, size)
    Glibc.close(descriptor)
  }

  /// The address of frame `frame` for the processor.
  @inline(__always)
  public func pointer(_ frame: UInt32) -> UnsafeMutableRawPointer { base + Int(frame) * Self.frameSize }

  /// The address of frame `frame` for the device.
  @inline(__always)
  public func address(_ frame: UInt32) -> UInt64 { iova &+ UInt64(frame) * UInt64(Self.frameSize) }
}
