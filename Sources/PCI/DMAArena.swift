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

  /// Makes an arena of `frames` frames.
  /// - Throws: `FunctionError` when the system has no memory for it.
  public init(frames: Int, name: String = "varve") throws(FunctionError) {
    size = max(frames, 1) * Self.frameSize
    descriptor = cm_memfd(name)
    guard descriptor >= 0, ftruncate(descriptor, size) == 0 else {
      let code = errno
      if descriptor >= 0 { Glibc.close(descriptor) }
      throw FunctionError(
        "no memory for a DMA arena of \(frames) frames", remedy: "free some memory", errno: code)
    }
    let mapped = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
    guard let mapped, mapped != MAP_FAILED else {
      let code = errno
      Glibc.close(descriptor)
      throw FunctionError(
        "a DMA arena of \(size) bytes cannot be mapped", remedy: "free some memory", errno: code)
    }
    base = mapped
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
