/// A view of a 4 KiB block in memory, with bounds-checked access to little-endian fields.
///
/// It does not own the memory, which is a cache frame or a buffer.
public struct Page {
  /// The size of a block in bytes, on disk and in memory.
  public static let size = 4096

  /// The first byte. `Page.size` bytes follow.
  public let base: UnsafeMutableRawPointer

  @inline(__always)
  public init(_ base: UnsafeMutableRawPointer) { self.base = base }

  /// The little-endian integer at byte `offset`; 0 when it would not lie inside the block.
  @inline(__always)
  public func load<T: FixedWidthInteger & BitwiseCopyable>(_ type: T.Type = T.self, at offset: Int) -> T {
    guard offset >= 0, offset <= Page.size - MemoryLayout<T>.size else { return 0 }
    return T(littleEndian: base.loadUnaligned(fromByteOffset: offset, as: T.self))
  }

  /// Stores a little-endian integer at byte `offset`; does nothing when it would not lie inside the block.
  @inline(__always)
  public func store<T: FixedWidthInteger & BitwiseCopyable>(_ value: T, at offset: Int) {
    guard offset >= 0, offset <= Page.size - MemoryLayout<T>.size else { return }
    base.storeBytes(of: value.littleEndian, toByteOffset: offset, as: T.self)
  }

  /// `count` bytes from byte `offset`, clamped at the block's end.
  @inline(__always)
  public func bytes(at offset: Int, count: Int) -> UnsafeRawBufferPointer {
    let start = min(max(offset, 0), Page.size)
    return UnsafeRawBufferPointer(start: base + start, count: min(max(count, 0), Page.size - start))
  }

  /// Copies bytes to byte `offset`, clamped at the block's end.
  public func copy(_ bytes: UnsafeRawBufferPointer, at offset: Int) {
    let start = min(max(offset, 0), Page.size)
    let count = min(bytes.count, Page.size - start)
    if count > 0, let source = bytes.baseAddress { (base + start).copyMemory(from: source, byteCount: count) }
  }

  /// Moves `count` bytes inside the block; the ranges may overlap. Does nothing when either leaves the block.
  public func move(from source: Int, to target: Int, count: Int) {
    guard count > 0, source >= 0, target >= 0, source <= Page.size - count, target <= Page.size - count else {
      return
    }
    (base + target).copyMemory(from: base + source, byteCount: count)
  }

  /// Sets `count` bytes from byte `offset` to zero, clamped at the block's end.
  public func clear(at offset: Int = 0, count: Int = Page.size) {
    let start = min(max(offset, 0), Page.size)
    let count = min(max(count, 0), Page.size - start)
    if count > 0 { (base + start).initializeMemory(as: UInt8.self, repeating: 0, count: count) }
  }

  /// Whether every byte is zero.
  public var isZero: Bool {
    var bits: UInt64 = 0
    for offset in stride(from: 0, to: Page.size, by: 8) {
      bits |= base.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
      if bits != 0 { return false }
    }
    return true
  }
}
