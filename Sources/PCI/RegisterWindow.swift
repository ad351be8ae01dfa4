import CMachine

/// Carries out register accesses one by one, for a device that is not memory-mapped.
public protocol RegisterAccess: AnyObject {
  func load32(at offset: Int) -> UInt32
  func load64(at offset: Int) -> UInt64
  func store32(_ value: UInt32, at offset: Int)
  func store64(_ value: UInt64, at offset: Int)
}

/// A BAR: memory-mapped registers, an object that carries out each access, or both, where only a part is
/// mapped.
///
/// Offsets are bytes from the start of the BAR. Accesses are volatile, little-endian and never reordered with
/// each other by the compiler; an access outside the window reads all ones and writes nothing.
public struct RegisterWindow {
  /// The mapping, where there is one, and the offsets it covers; its first byte is that of the first offset.
  private let mapping: UnsafeMutableRawPointer?
  private let mapped: Range<Int>
  private let access: (any RegisterAccess)?
  /// The size of the BAR in bytes.
  public let size: Int

  /// A window over mapped device memory.
  public init(mapping base: UnsafeMutableRawPointer, size: Int) {
    mapping = base
    mapped = 0..<size
    access = nil
    self.size = size
  }

  /// A window that uses `access` for every register.
  public init(access: any RegisterAccess, size: Int) {
    mapping = nil
    mapped = 0..<0
    self.access = access
    self.size = size
  }

  /// A window over mapped device memory at the offsets `mapped`, that uses `access` for every other register.
  public init(
    mapping base: UnsafeMutableRawPointer, at mapped: Range<Int>, access: any RegisterAccess, size: Int
  ) {
    mapping = base
    self.mapped = mapped
    self.access = access
    self.size = size
  }

  @inline(__always)
  private func holds(_ offset: Int, _ width: Int) -> Bool { offset >= 0 && offset <= size - width }

  /// The address of a register; nil where it is not mapped.
  @inline(__always)
  private func pointer(_ offset: Int, _ width: Int) -> UnsafeMutableRawPointer? {
    guard let mapping, offset >= mapped.lowerBound, offset <= mapped.upperBound - width else { return nil }
    return mapping + (offset - mapped.lowerBound)
  }

  public func load32(at offset: Int) -> UInt32 {
    guard holds(offset, 4) else { return .max }
    if let pointer = pointer(offset, 4) { return cm_load32(pointer) }
    return access?.load32(at: offset) ?? .max
  }

  public func load64(at offset: Int) -> UInt64 {
    guard holds(offset, 8) else { return .max }
    if let pointer = pointer(offset, 8) { return cm_load64(pointer) }
    return access?.load64(at: offset) ?? .max
  }

  public func store32(_ value: UInt32, at offset: Int) {
    guard holds(offset, 4) else { return }
    if let pointer = pointer(offset, 4) {
      cm_store32(pointer, value)
    } else {
      access?.store32(value, at: offset)
    }
  }

  public func store64(_ value: UInt64, at offset: Int) {
    guard holds(offset, 8) else { return }
    if let pointer = pointer(offset, 8) {
      cm_store64(pointer, value)
    } else {
      access?.store64(value, at: offset)
    }
  }

  /// The address of a mapped register, for a doorbell that is stored to on every submission.
  public func address(of offset: Int) -> UnsafeMutableRawPointer? {
    holds(offset, 4) ? pointer(offset, 4) : nil
  }
}
