/// A region in which each access is a system call or a message.
public protocol ValueAccess: AnyObject {
  /// The value at a byte offset; all ones when it cannot be read.
  func load<Value: FixedWidthInteger>(at offset: Int) -> Value
  /// Stores a value at a byte offset.
  func store<Value: FixedWidthInteger>(_ value: Value, at offset: Int)
}

/// Configuration space over such a region, with the accesses of `PCIFunction`.
public struct ConfigurationAccess<Region: ValueAccess> {
  public let region: Region
  /// Its size in bytes.
  public let size: Int

  public init(_ region: Region, size: Int) {
    self.region = region
    self.size = size
  }

  /// Reads `width` bytes (1, 2 or 4); all ones for any other width, and outside of the space.
  public func read(at offset: Int, width: Int) -> UInt32 {
    guard contains(offset, width) else { return .max }
    switch width {
    case 1: return UInt32(region.load(at: offset) as UInt8)
    case 2: return UInt32(region.load(at: offset) as UInt16)
    default: return region.load(at: offset)
    }
  }

  /// Writes `width` bytes (1, 2 or 4); nothing for any other width, and outside of the space.
  public func write(_ value: UInt32, at offset: Int, width: Int) {
    guard contains(offset, width) else { return }
    switch width {
    case 1: region.store(UInt8(truncatingIfNeeded: value), at: offset)
    case 2: region.store(UInt16(truncatingIfNeeded: value), at: offset)
    default: region.store(value, at: offset)
    }
  }

  private func contains(_ offset: Int, _ width: Int) -> Bool {
    [1, 2, 4].contains(width) && offset >= 0 && offset <= size - width
  }
}

/// The command register (PCI Local Bus 3.0, 6.2.2).
private enum Command {
  static let offset = 4
  static let memorySpace: UInt32 = 1 << 1
  static let busMaster: UInt32 = 1 << 2
}

extension PCIFunction {
  /// Turns bus mastering on or off in the command register.
  public func setBusMaster(_ enabled: Bool) {
    updateCommand(set: enabled ? Command.busMaster : 0, clear: enabled ? 0 : Command.busMaster)
  }

  /// Enables the function's BARs (memory space); a reset disables them.
  public func enableMemorySpace() { updateCommand(set: Command.memorySpace, clear: 0) }

  private func updateCommand(set: UInt32, clear: UInt32) {
    let command = readConfiguration(at: Command.offset, width: 2)
    // A device that is gone reads as all ones and is not written to.
    guard command < 0xffff else { return }
    writeConfiguration(command & ~clear | set, at: Command.offset, width: 2)
  }
}
