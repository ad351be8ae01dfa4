import Glibc
import PCI

/// Registers of a region that cannot be mapped, accessed by pread and pwrite on the device's descriptor:
/// slow, but correct.
final class RegionAccess: RegisterAccess, ValueAccess {
  private var descriptor: Int32
  private let offset: Int

  /// The region that begins at `offset` of `descriptor`, which stays open until `retire`.
  init(_ descriptor: Int32, at offset: Int) {
    self.descriptor = descriptor
    self.offset = offset
  }

  /// Drops the descriptor, which is about to be closed: the region reads as all ones from now on.
  func retire() { descriptor = -1 }

  func load32(at offset: Int) -> UInt32 { load(at: offset) }
  func load64(at offset: Int) -> UInt64 { load(at: offset) }
  func store32(_ value: UInt32, at offset: Int) { store(value, at: offset) }
  func store64(_ value: UInt64, at offset: Int) { store(value, at: offset) }

  /// The value at a byte offset of the region; all ones when it cannot be read, as from a device that is
  /// gone.
  func load<Value: FixedWidthInteger>(at offset: Int) -> Value {
    var value: Value = 0
    let size = MemoryLayout<Value>.size
    return pread(descriptor, &value, size, self.offset &+ offset) == size
      ? Value(littleEndian: value) : ~0
  }

  /// Stores a value at a byte offset of the region; a failure is ignored, as with a device that is gone.
  func store<Value: FixedWidthInteger>(_ value: Value, at offset: Int) {
    var value = value.littleEndian
    _ = pwrite(descriptor, &value, MemoryLayout<Value>.size, self.offset &+ offset)
  }
}
