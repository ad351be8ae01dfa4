import NVMeSpec
import PCI

/// The controller memory buffer: the controller's memory behind BAR 2, in which the host may place submission
/// queues (Base 2.0, section 8.5). Its first page in the BAR is not part of it.
struct ControllerMemoryBuffer {
  /// The BAR that holds it.
  static let bar = 2
  private static let unit = 4096
  /// Where it begins in the BAR, in units.
  private static let offset = 1

  private let memory: UnsafeMutableRawPointer?
  private let size: Int
  /// The size of its BAR in bytes, a power of two; 0 without a buffer.
  let barSize: Int
  /// CMBMSC.
  private var control = MemoryBufferControl(rawValue: 0)

  /// A buffer of `bytes` bytes, whole pages; 0 for none.
  init(bytes: Int) {
    size = bytes
    var power = bytes == 0 ? 0 : Self.unit
    while power < bytes + Self.offset * Self.unit, power > 0 { power *= 2 }
    barSize = power
    memory = power == 0 ? nil : .allocate(byteCount: power, alignment: Self.unit)
    memory?.initializeMemory(as: UInt8.self, repeating: 0, count: power)
  }

  /// To be called at the end: copies of the value share what it frees.
  func deallocate() { memory?.deallocate() }

  /// The BAR; nil without a buffer.
  var window: RegisterWindow? { memory.map { RegisterWindow(mapping: $0, size: barSize) } }

  /// Whether the host has given it a usable address.
  var isEnabled: Bool { memory != nil && control.memorySpaceEnabled && !isMisplaced }

  /// Whether the buffer would reach beyond the end of the address space.
  private var isMisplaced: Bool { control.baseAddress > .max - UInt64(size) }

  // MARK: Registers

  /// The aligned 32 bits at a byte offset; nil where that is no register of the buffer.
  func load(_ offset: Int) -> UInt32? {
    guard memory != nil else { return nil }
    let isTold = control.capabilitiesEnabled
    switch offset {
    case Register.memoryBufferLocation: return isTold ? UInt32(Self.offset) << 12 | UInt32(Self.bar) : 0
    // Units of 4 KiB; submission queues and nothing else.
    case Register.memoryBufferSize: return isTold ? UInt32(size / Self.unit) << 12 | 1 : 0
    case Register.memoryBufferControl: return UInt32(truncatingIfNeeded: control.rawValue)
    case Register.memoryBufferControl + 4: return UInt32(truncatingIfNeeded: control.rawValue >> 32)
    // CBAI.
    case Register.memoryBufferStatus: return control.memorySpaceEnabled && isMisplaced ? 1 : 0
    default: return nil
    }
  }

  /// Stores to a register of the buffer.
  /// - Returns: false where it is none.
  mutating func store(_ value: UInt32, _ offset: Int) -> Bool {
    guard memory != nil else { return false }
    switch offset {
    case Register.memoryBufferControl:
      control.rawValue = control.rawValue & ~0xffff_ffff | UInt64(value & ~0xffc)
    case Register.memoryBufferControl + 4:
      control.rawValue = control.rawValue & 0xffff_ffff | UInt64(value) << 32
    default: return false
    }
    return true
  }

  /// A function-level reset, the only reset that clears CMBMSC.
  mutating func reset() { control = MemoryBufferControl(rawValue: 0) }

  /// Overwrites the contents, which are undefined after a reset.
  func spoil() {
    guard isEnabled else { return }
    memory?.initializeMemory(as: UInt8.self, repeating: 0xa5, count: barSize)
  }

  // MARK: Addresses

  /// Whether an address falls into it.
  func contains(_ address: UInt64) -> Bool { isEnabled && address &- control.baseAddress < UInt64(size) }

  /// Whether any of `length` bytes falls into it.
  func overlaps(_ address: UInt64, _ length: Int) -> Bool {
    contains(address) || isEnabled && control.baseAddress &- address < UInt64(length)
  }

  /// Where `length` bytes from `address` lie; nil unless all of them are in the buffer.
  func locate(_ address: UInt64, _ length: Int) -> UnsafeMutableRawPointer? {
    guard contains(address), let memory else { return nil }
    let start = address &- control.baseAddress
    guard UInt64(length) <= UInt64(size) - start else { return nil }
    return memory + Self.offset * Self.unit + Int(start)
  }
}
