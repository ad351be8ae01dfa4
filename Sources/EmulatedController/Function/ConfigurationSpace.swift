/// The PCI configuration space of an NVMe function, 4096 bytes: identity, BAR0 and BAR4, and the MSI-X, PCI
/// Express and power management capabilities (PCIe Transport 1.0, section 3.8).
struct ConfigurationSpace {
  private static let size = 4096
  private static let commandOffset = 0x04
  private static let msixOffset = 0x40
  private static let expressOffset = 0x50
  private static let powerOffset = 0x90
  /// Device Control of the PCI Express capability, and its bit for a function-level reset.
  private static let deviceControlOffset = expressOffset + 8
  private static let resetBit: UInt32 = 1 << 15
  /// The BAR that holds the MSI-X table and the pending bits.
  static let tableBAR = 4
  private static let pageSize = 4096
  private static let memorySpaceBit: UInt32 = 1 << 1
  private static let busMasterBit: UInt32 = 1 << 2
  private static let msixEnableBit: UInt32 = 1 << 15

  private var bytes = [UInt8](repeating: 0, count: size)
  /// Which bits a write changes.
  private var writable = [UInt8](repeating: 0, count: size)
  /// The bytes after power-on.
  private var initial: [UInt8] = []

  /// Where the pending bits begin in the table's BAR: after a table of 16 bytes a vector, in whole pages.
  private static func pendingOffset(vectors: Int) -> Int {
    (max(vectors, 1) * 16 + pageSize - 1) / pageSize * pageSize
  }

  /// The size of the table's BAR in bytes, a power of two.
  static func tableSize(vectors: Int) -> Int {
    let needed = pendingOffset(vectors: vectors) + pageSize
    var power = 2 * pageSize
    while power < needed { power *= 2 }
    return power
  }

  /// - Parameter bufferSize: that of the BAR of the controller memory buffer; 0 for none.
  init(vectors: Int, barSize: Int, bufferSize: Int = 0) {
    put(UInt32(Identifiers.vendor), at: 0x00, width: 2)
    put(0x0001, at: 0x02, width: 2)
    put(0x0010, at: 0x06, width: 2)
    put(0x01_0802, at: 0x09, width: 3)
    put(0x04, at: 0x10, width: 4)
    put(0x04, at: 0x20, width: 4)
    // The subsystem's vendor and identifier.
    put(UInt32(Identifiers.vendor), at: 0x2c, width: 2)
    put(0x0001, at: 0x2e, width: 2)
    put(UInt32(Self.msixOffset), at: 0x34, width: 1)
    put(UInt32(Self.expressOffset) << 8 | 0x11, at: Self.msixOffset, width: 2)
    put(UInt32(max(vectors, 1) - 1), at: Self.msixOffset + 2, width: 2)
    // The function connects vectors to eventfds itself, as VFIO does; writes to the table have no effect.
    put(UInt32(Self.tableBAR), at: Self.msixOffset + 4, width: 4)
    let pending = UInt32(truncatingIfNeeded: Self.pendingOffset(vectors: vectors))
    put(pending | UInt32(Self.tableBAR), at: Self.msixOffset + 8, width: 4)
    put(0x0002_0010 | UInt32(Self.powerOffset) << 8, at: Self.expressOffset, width: 4)
    // Power management, version 1.2; D0 keeps its state (No_Soft_Reset).
    put(0x0003_0001, at: Self.powerOffset, width: 4)
    put(0x0008, at: Self.powerOffset + 4, width: 4)
    // Device capabilities: function-level reset.
    put(1 << 28, at: Self.expressOffset + 4, width: 4)

    allow(0x0406, at: Self.commandOffset, width: 2)
    allow(UInt32(truncatingIfNeeded: ~(barSize - 1)) & ~0xf, at: 0x10, width: 4)
    allow(0xffff_ffff, at: 0x14, width: 4)
    if bufferSize > 0 {
      put(0x0c, at: 0x18, width: 4)
      allow(UInt32(truncatingIfNeeded: ~(bufferSize - 1)) & ~0xf, at: 0x18, width: 4)
      allow(0xffff_ffff, at: 0x1c, width: 4)
    }
    let tableMask = ~(Self.tableSize(vectors: vectors) - 1)
    allow(UInt32(truncatingIfNeeded: tableMask) & ~0xf, at: 0x20, width: 4)
    allow(0xffff_ffff, at: 0x24, width: 4)
    allow(Self.resetBit | 0x70ff, at: Self.deviceControlOffset, width: 2)
    allow(0x3, at: Self.powerOffset + 4, width: 2)
    allow(0xff, at: 0x3c, width: 1)
    allow(Self.msixEnableBit | 1 << 14, at: Self.msixOffset + 2, width: 2)
    initial = bytes
  }

  /// Resets everything to the values after power-on.
  mutating func reset() { bytes = initial }

  /// Whether a function-level reset was requested; clears the request, as the bit reads 0.
  mutating func takeResetRequest() -> Bool {
    guard read(at: Self.deviceControlOffset, width: 2) & Self.resetBit != 0 else { return false }
    change(Self.resetBit, to: false, at: Self.deviceControlOffset)
    return true
  }

  /// Whether the command register enables bus mastering (DMA).
  var busMaster: Bool {
    get { read(at: Self.commandOffset, width: 2) & Self.busMasterBit != 0 }
    set { change(Self.busMasterBit, to: newValue, at: Self.commandOffset) }
  }

  /// Whether the command register enables accesses to the BARs.
  var answers: Bool { read(at: Self.commandOffset, width: 2) & Self.memorySpaceBit != 0 }

  /// Whether MSI-X is on.
  var msixEnabled: Bool {
    get { read(at: Self.msixOffset + 2, width: 2) & Self.msixEnableBit != 0 }
    set { change(Self.msixEnableBit, to: newValue, at: Self.msixOffset + 2) }
  }

  /// Reads `width` bytes; all ones outside the space.
  func read(at offset: Int, width: Int) -> UInt32 {
    guard (1...4).contains(width), offset >= 0, offset <= Self.size - width else { return .max }
    return (0..<width).reduce(0) { $0 | UInt32(bytes[offset + $1]) << UInt32(8 * $1) }
  }

  /// Writes `width` bytes, of which only the writable bits change.
  mutating func write(_ value: UInt32, at offset: Int, width: Int) {
    guard (1...4).contains(width), offset >= 0, offset <= Self.size - width else { return }
    for index in 0..<width {
      let mask = writable[offset + index]
      let byte = UInt8(truncatingIfNeeded: value >> UInt32(8 * index))
      bytes[offset + index] = (bytes[offset + index] & ~mask) | (byte & mask)
    }
  }

  private mutating func change(_ bit: UInt32, to value: Bool, at offset: Int) {
    let old = read(at: offset, width: 2)
    put(value ? old | bit : old & ~bit, at: offset, width: 2)
  }

  private mutating func put(_ value: UInt32, at offset: Int, width: Int) {
    for index in 0..<width { bytes[offset + index] = UInt8(truncatingIfNeeded: value >> UInt32(8 * index)) }
  }

  private mutating func allow(_ mask: UInt32, at offset: Int, width: Int) {
    for index in 0..<width { writable[offset + index] = UInt8(truncatingIfNeeded: mask >> UInt32(8 * index)) }
  }
}
