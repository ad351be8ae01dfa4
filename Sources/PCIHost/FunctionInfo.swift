/// What the system reports about a PCI function, without accessing the device.
public struct FunctionInfo: Hashable, Sendable {
  /// Its address.
  public let address: FunctionAddress
  /// The vendor's number.
  public let vendor: UInt16
  /// The vendor's number for the device.
  public let device: UInt16
  /// Class, subclass and programming interface: 010802h for an NVMe I/O controller.
  public let classCode: UInt32
  /// Vendor and device by name, or by number where the name is not known.
  public let description: String
  /// The kernel driver that has it, if any.
  public let driver: String?
  /// The IOMMU group, which is opened as a whole; nil when no IOMMU is on.
  public let group: Int?
  /// Its NUMA node; nil on machines with only one or where it is not reported.
  public let numaNode: Int?
  /// Its folder under sysfs.
  public let folder: String

  /// The class code of an NVMe I/O controller (NVM Express Base specification: Class Code).
  public static let nvmeClass: UInt32 = 0x01_08_02

  /// Whether its driver is `vfio-pci`, so that a process can open it.
  public var isBoundToVFIO: Bool { driver == "vfio-pci" }
}
