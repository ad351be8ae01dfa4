import CPCI
import Glibc
import PCI
import SystemFiles

/// Finds PCI functions, through libpci.
public enum Discovery {
  /// The functions of a class, NVMe I/O controllers by default, by address. The devices themselves are not
  /// accessed.
  public static func functions(
    classCode: UInt32 = FunctionInfo.nvmeClass, in tree: SystemTree = SystemTree()
  ) -> [FunctionInfo] {
    scan(tree) { $0.classCode == classCode }
  }

  /// The function at an address.
  /// - Throws: `FunctionError` when there is none.
  public static func function(
    at address: FunctionAddress, in tree: SystemTree = SystemTree()
  ) throws(FunctionError) -> FunctionInfo {
    guard let found = scan(tree, where: { $0.address == address }).first else {
      throw FunctionError(
        "there is no PCI function \(address)", remedy: "see the NVMe controllers with: varve list",
        errno: ENODEV)
    }
    return found
  }

  /// The functions that share an IOMMU group with `function`, including itself, without bridges.
  public static func members(
    ofGroupOf function: FunctionInfo, in tree: SystemTree = SystemTree()
  ) -> [FunctionInfo] {
    scan(tree) { $0.group == function.group && $0.classCode >> 16 != bridgeClass }
  }

  /// The base class of bridges, which the kernel allows in a group in use.
  private static let bridgeClass: UInt32 = 0x06

  private static func scan(_ tree: SystemTree, where fits: (FunctionInfo) -> Bool) -> [FunctionInfo] {
    let bus = "\(tree.sys)/bus/pci"
    // libpci ends the process where it finds no bus.
    guard tree.exists("\(bus)/devices"), let access = pci_alloc() else { return [] }
    defer { pci_cleanup(access) }
    access.pointee.method = UInt32(PCI_ACCESS_SYS_BUS_PCI.rawValue)
    withMutableCString("sysfs.path") { name in
      withMutableCString(bus) { value in _ = pci_set_param(access, name, value) }
    }
    pci_init(access)
    pci_scan_bus(access)
    var found: [FunctionInfo] = []
    var next = access.pointee.devices
    while let device = next {
      next = device.pointee.next
      if let info = describe(device, access, tree), fits(info) { found.append(info) }
    }
    return found.sorted { $0.address < $1.address }
  }

  private static func describe(
    _ device: UnsafeMutablePointer<pci_dev>, _ access: UnsafeMutablePointer<pci_access>, _ tree: SystemTree
  ) -> FunctionInfo? {
    guard
      let address = FunctionAddress(
        domain: UInt32(truncatingIfNeeded: device.pointee.domain), bus: device.pointee.bus,
        device: device.pointee.dev,
        function: device.pointee.func)
    else { return nil }
    let folder = tree.folder(of: address)
    // libpci ends the process where it cannot read these, so a function that is just being removed is
    // skipped.
    guard ["vendor", "device", "class"].allSatisfy({ tree.exists("\(folder)/\($0)") }) else { return nil }
    let fields =
      PCI_FILL_IDENT | PCI_FILL_CLASS | PCI_FILL_CLASS_EXT | PCI_FILL_NUMA_NODE | PCI_FILL_DRIVER
      | PCI_FILL_IOMMU_GROUP
    pci_fill_info(device, fields)
    return FunctionInfo(
      address: address, vendor: device.pointee.vendor_id, device: device.pointee.device_id,
      classCode: UInt32(device.pointee.device_class) << 8 | UInt32(device.pointee.prog_if),
      description: name(of: device, access),
      driver: property(PCI_FILL_DRIVER, of: device),
      group: property(PCI_FILL_IOMMU_GROUP, of: device).flatMap { Int($0) },
      numaNode: device.pointee.numa_node >= 0 ? Int(device.pointee.numa_node) : nil,
      folder: folder)
  }
}

/// A property that libpci gives as text; nil when the function has none.
private func property(_ kind: Int32, of device: UnsafeMutablePointer<pci_dev>) -> String? {
  pci_get_string_property(device, UInt32(kind)).map { String(cString: $0) }
}

/// Vendor and device by name.
private func name(of device: UnsafeMutablePointer<pci_dev>, _ access: UnsafeMutablePointer<pci_access>)
  -> String
{
  var buffer = [CChar](repeating: 0, count: 256)
  let size = Int32(buffer.count)
  return buffer.withUnsafeMutableBufferPointer {
    cpci_name(access, $0.baseAddress, size, Int32(device.pointee.vendor_id), Int32(device.pointee.device_id))
      .map { String(cString: $0) } ?? ""
  }
}

/// libpci takes mutable strings that it does not change.
private func withMutableCString(_ text: String, _ body: (UnsafeMutablePointer<CChar>) -> Void) {
  text.withCString { body(UnsafeMutablePointer(mutating: $0)) }
}
