import EmulatedController
import PCI

/// A function that wraps the emulated controller and forwards what it does not implement itself.
public protocol DeviceFunction: PCIFunction {
  var device: EmulatedController { get }
}

extension DeviceFunction {
  public func readConfiguration(at offset: Int, width: Int) -> UInt32 {
    device.readConfiguration(at: offset, width: width)
  }
  public func writeConfiguration(_ value: UInt32, at offset: Int, width: Int) {
    device.writeConfiguration(value, at: offset, width: width)
  }
  public func map(_ arena: DMAArena) throws(FunctionError) { try device.map(arena) }
  public func unmap(_ arena: DMAArena) { device.unmap(arena) }
  public func setBusMaster(_ enabled: Bool) { device.setBusMaster(enabled) }
  public func close() { device.close() }
}
