import CMachine
import Glibc
import PCI
import PCIHost
import SystemFiles

/// A VFIO group: the functions that the IOMMU cannot isolate from each other, which one process opens
/// together.
struct Group: ~Copyable {
  private let descriptor: Descriptor
  private let path: String
  private let name: String

  /// Opens the group of a function.
  /// - Throws: `FunctionError` when the function is in no group or not bound to vfio-pci, or when the group
  ///   is held by another process, not permitted, or has members with other drivers.
  init(of function: FunctionInfo, in tree: SystemTree) throws(FunctionError) {
    let name = function.address.description
    guard let group = function.group else {
      throw FunctionError(
        "\(name) is in no IOMMU group: the IOMMU is off",
        remedy: "turn it on in the firmware (VT-d, AMD-Vi) and boot with intel_iommu=on or amd_iommu=on",
        errno: ENODEV)
    }
    guard function.isBoundToVFIO else {
      throw FunctionError(
        "\(name) is not bound to vfio-pci but to \(function.driver ?? "no driver")",
        remedy: "bind it with: sudo varve bind \(name)", errno: ENODEV)
    }
    let path = "\(tree.dev)/vfio/\(group)"
    let number = open(path, O_RDWR | O_CLOEXEC)
    guard number >= 0 else { throw Self.openError(path, name, code: errno, in: tree) }
    let descriptor = Descriptor(owning: number)
    try Self.checkViable(descriptor, path, function, in: tree)
    self.descriptor = descriptor
    self.path = path
    self.name = name
  }

  /// Puts the group into a container.
  func join(_ container: Int32) throws(FunctionError) {
    var container = container
    guard cm_ioctl(descriptor.number, cm_vfio_group_set_container, &container) == 0 else {
      throw FunctionError("\(path) cannot be used for \(name)", errno: errno)
    }
  }

  /// Opens the function itself. The group must be in a container with its IOMMU set.
  func openDevice() throws(FunctionError) -> Int32 {
    let number = name.withCString {
      cm_ioctl(descriptor.number, cm_vfio_group_get_device_fd, UnsafeMutableRawPointer(mutating: $0))
    }
    guard number >= 0 else {
      throw FunctionError("\(name) cannot be opened through \(path)", errno: errno)
    }
    return number
  }

  /// A group can be used only when all members are bound to vfio-pci or to no driver: another driver's DMA
  /// would share the IOMMU's mappings.
  private static func checkViable(
    _ descriptor: borrowing Descriptor, _ path: String, _ function: FunctionInfo, in tree: SystemTree
  ) throws(FunctionError) {
    var status = vfio_group_status()
    status.argsz = UInt32(MemoryLayout.size(ofValue: status))
    guard cm_ioctl(descriptor.number, cm_vfio_group_get_status, &status) == 0 else {
      throw FunctionError("\(path) does not tell its state", errno: errno)
    }
    guard status.flags & UInt32(VFIO_GROUP_FLAGS_VIABLE) == 0 else { return }
    let others = Discovery.members(ofGroupOf: function, in: tree).filter {
      !$0.isBoundToVFIO && $0.driver != nil
    }
    let list = others.map { "\($0.address) (\($0.driver ?? ""))" }.joined(separator: ", ")
    throw FunctionError(
      "the IOMMU cannot tell \(function.address) from other functions that have drivers: \(list)",
      remedy: "bind them all to vfio-pci, or put the controller into another slot", errno: EBUSY)
  }

  private static func openError(_ path: String, _ name: String, code: Int32, in tree: SystemTree)
    -> FunctionError
  {
    switch code {
    case EBUSY:
      let holders = OpenFiles.holders(of: path, in: tree).map(\.description).joined(separator: ", ")
      return FunctionError(
        "\(name) is held by \(holders.isEmpty ? "another process" : holders)",
        remedy: holders.isEmpty
          ? "find it with: sudo fuser -v \(path)" : "unmount it or end that process first",
        errno: code)
    case EACCES, EPERM:
      return FunctionError(
        "no permission to open \(path), which \(name) is reached through",
        remedy: "allow it with: sudo chown \"$USER\" \(path)", errno: code)
    case ENOENT:
      return FunctionError(
        "there is no \(path), which \(name) is reached through",
        remedy: "load it with: sudo modprobe vfio-pci",
        errno: code)
    default:
      return FunctionError("\(path) cannot be opened", errno: code)
    }
  }
}
