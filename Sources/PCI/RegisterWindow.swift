import CMachine

/// Answers register accesses one by one: a device that is not memory-mapped.
public protocol RegisterAccess: AnyObject {
  func load32(at offset: Int) -> UInt32
  func load64(at offset: Int) -> UInt64
  func store32(_ value: UInt32, at offset: Int)
  func store64(_ value: UInt64, at offset: Int)
}

/// A BAR: memory-mapped registers, or an object that answers each access.
///
/// Offsets are bytes from the start of the BAR. Accesses are volatile, little-endian and never reordered with
/// each other by the compiler; an access outside the window reads all ones and writes nothing.
public struct RegisterWindow {
  /// The mapping, where there is one.
  private let base: UnsafeMutableRawPointer?
  private let access: (any RegisterAccess)?
  /// The size of the BAR in bytes.
  public let size: Int

  /// A window over mapped device memory.
  public init(mapping base: UnsafeMutableRawPointer, size: Int) {
    self.base = base
    self.access = nil
    self.size = size
  }

  /// A window that asks `access` for every register.
  public init(access: any RegisterAccess, size: Int) {
    self.base = nil
    self.access = access
    self.size = size
  }

  @inline(__always)
  private func holds(_ offset: Int, _ width: Int) -> Bool { offset >= 0 && offset <= size - width }

  public func load32(at offset: Int) -> UInt32 {
    guard holds(offset, 4) else { return .max }
    if let base { return cm_load32(base + offset) }
    return access?.load32(at: offset) ?? .max
  }

  public func load64(at offset: Int) -> UInt64 {
    guard holds(offset, 8) else { return .max }
    if let base { return cm_load64(base + offset) }
    return access?.load64(at: offset) ?? .max
  }

  public func store32(_ value: UInt32, at offset: Int) {
    guard holds(offset, 4) else { return }
    if let base { cm_store32(base + offset, value) } else { access?.store32(value, at: offset) }
  }

  public func store64(_ value: UInt64, at offset: Int) {
    guard holds(offset, 8) else { return }
    if let base { cm_store64(base + offset, value) } else { access?.store64(value, at: offset) }
  }

  /// The address of a mapped register, for a doorbell that is stored to on every submission.
  public func address(of offset: Int) -> UnsafeMutableRawPointer? {
    guard holds(offset, 4), let base else { return nil }
    return base + offset
  }
}
