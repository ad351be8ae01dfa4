import CMachine
import Glibc
import PCI
import PCIHost
import SystemFiles

/// A PCI function through kernel VFIO's group and container interface.
///
/// The process has the function exclusively from `init` to `close`. DMA addresses come from the ranges that
/// the IOMMU reports; memory is mapped an arena at a time.
public final class VFIOFunction: PCIFunction {
  public let name: String
  /// Its NUMA node, where that is known.
  private let numaNode: Int?

  /// Nil once closed. Closing goes from the device to the group to the container.
  private var device: OpenDevice?
  private var group: Group?
  private var container: Container?

  private let configuration: ConfigurationAccess<RegionAccess>
  /// The BARs that are mapped, by index.
  private var mappings: [Int: UnsafeMutableRawPointer] = [:]
  /// The regions accessed by pread and pwrite, configuration space included.
  private var accesses: [RegionAccess] = []
  private var eventfds: [Int32] = []
  private var removal: Int32 = -1
  private var busError: Int32 = -1
  /// `BusErrorGuard.count` when the BARs were mapped last.
  private var busErrors = BusErrorGuard.count

  /// Opens the function at an address, enables its memory space, and disables its DMA.
  /// - Throws: `FunctionError` with what is missing and the command that fixes it.
  public init(at address: FunctionAddress, in tree: SystemTree = SystemTree()) throws(FunctionError) {
    let info = try Discovery.function(at: address, in: tree)
    name = address.description
    numaNode = info.numaNode
    let group = try Group(of: info, in: tree)
    let container = try Container(for: group, of: name, in: tree)
    let device = OpenDevice(owning: try group.openDevice())
    let region = device.region(UInt32(VFIO_PCI_CONFIG_REGION_INDEX))
    guard region.size >= 64 else { throw FunctionError("\(name) has no configuration space") }
    let access = RegionAccess(device.descriptor.number, at: region.offset)
    configuration = ConfigurationAccess(access, size: region.size)
    accesses = [access]
    self.group = consume group
    self.container = consume container
    self.device = consume device
    enableMemorySpace()
    setBusMaster(false)
    removal = listen(for: VFIO_PCI_REQ_IRQ_INDEX)
    busError = listen(for: VFIO_PCI_ERR_IRQ_INDEX)
  }

  deinit { close() }

  public func close() {
    guard device != nil else { return }
    setBusMaster(false)
    for kind in [VFIO_PCI_MSIX_IRQ_INDEX, VFIO_PCI_REQ_IRQ_INDEX, VFIO_PCI_ERR_IRQ_INDEX] {
      _ = device?.signal(UInt32(kind), through: [])
    }
    for (index, mapping) in mappings {
      BusErrorGuard.release(mapping)
      munmap(mapping, device?.region(UInt32(index)).size ?? 0)
    }
    mappings = [:]
    for access in accesses { access.retire() }
    accesses = []
    for eventfd in eventfds + [removal, busError] where eventfd >= 0 { Glibc.close(eventfd) }
    eventfds = []
    removal = -1
    busError = -1
    device = nil
    group = nil
    container = nil
  }
}

// Configuration space.
extension VFIOFunction {
  public func readConfiguration(at offset: Int, width: Int) -> UInt32 {
    configuration.read(at: offset, width: width)
  }

  public func writeConfiguration(_ value: UInt32, at offset: Int, width: Int) {
    configuration.write(value, at: offset, width: width)
  }

  public func reset() throws(FunctionError) {
    guard device?.canReset == true else {
      throw FunctionError("\(name) cannot be reset by itself", errno: ENOTSUP)
    }
    let code = device?.reset() ?? ENODEV
    guard code == 0 else { throw FunctionError("the reset of \(name) failed", errno: code) }
    enableMemorySpace()
  }

  /// Has the kernel restore the BARs, which a reset of the link has cleared, and maps again the pages that
  /// `BusErrorGuard` has replaced.
  public func restoreChannel() {
    enableMemorySpace()
    guard BusErrorGuard.count != busErrors, let descriptor = device?.descriptor.number else { return }
    busErrors = BusErrorGuard.count
    for (index, mapping) in mappings {
      guard let region = device?.region(UInt32(index)) else { continue }
      _ = mmap(
        mapping, region.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, descriptor, region.offset)
    }
  }
}

// Registers.
extension VFIOFunction {
  public func openBAR(_ index: Int) throws(FunctionError) -> RegisterWindow {
    try openBAR(index, mapped: true)
  }

  /// Opens a BAR: mapped if `mapped` and the kernel allow it, otherwise by pread and pwrite.
  func openBAR(_ index: Int, mapped: Bool) throws(FunctionError) -> RegisterWindow {
    let region = (0...5).contains(index) ? device?.region(UInt32(index)) : nil
    guard let region, region.size > 0, let descriptor = device?.descriptor.number else {
      throw FunctionError("\(name) has no BAR \(index)", errno: ENODEV)
    }
    guard mapped && region.isMappable else {
      let access = RegionAccess(descriptor, at: region.offset)
      accesses.append(access)
      return RegisterWindow(access: access, size: region.size)
    }
    if let mapping = mappings[index] { return RegisterWindow(mapping: mapping, size: region.size) }
    let mapping = mmap(nil, region.size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, region.offset)
    guard let mapping, mapping != MAP_FAILED else {
      throw FunctionError("BAR \(index) of \(name) cannot be mapped", errno: errno)
    }
    BusErrorGuard.protect(mapping, size: region.size)
    mappings[index] = mapping
    return RegisterWindow(mapping: mapping, size: region.size)
  }
}

// DMA.
extension VFIOFunction {
  public func map(_ arena: DMAArena) throws(FunctionError) {
    // The kernel allocates the missing pages while it maps them.
    if let numaNode { NUMA.prefer(numaNode, for: arena.base, size: arena.size) }
    guard let iova = try container?.map(arena.base, arena.size) else {
      throw FunctionError("\(name) is closed", errno: ENODEV)
    }
    arena.iova = iova
  }

  public func unmap(_ arena: DMAArena) {
    guard arena.iova != .max else { return }
    container?.unmap(arena.iova, arena.size)
    arena.iova = .max
  }
}

// Interrupts, removal and errors.
extension VFIOFunction {
  public var interruptVectors: Int { device?.interruptCount(UInt32(VFIO_PCI_MSIX_IRQ_INDEX)) ?? 0 }

  public func enableInterrupts(count: Int) throws(FunctionError) -> [Int32] {
    let offered = interruptVectors
    guard count > 0, count <= offered else {
      throw FunctionError("\(name) offers \(offered) interrupt vectors, not \(count)", errno: EINVAL)
    }
    let kind = UInt32(VFIO_PCI_MSIX_IRQ_INDEX)
    // The number of vectors cannot change while they are enabled.
    if !eventfds.isEmpty { _ = device?.signal(kind, through: []) }
    while eventfds.count < count {
      let eventfd = cm_eventfd()
      guard eventfd >= 0 else {
        throw FunctionError("no more files can be opened", remedy: "raise the limit: ulimit -n", errno: errno)
      }
      eventfds.append(eventfd)
    }
    let chosen = Array(eventfds[..<count])
    let code = device?.signal(kind, through: chosen) ?? ENODEV
    guard code == 0 else { throw FunctionError("\(name): MSI-X cannot be enabled", errno: code) }
    return chosen
  }

  public var removalDescriptor: Int32? { removal >= 0 ? removal : nil }

  public var errorDescriptor: Int32? { busError >= 0 ? busError : nil }

  /// An eventfd for the only interrupt of a kind; negative where the kernel or the function has no such
  /// interrupt.
  private func listen(for index: some BinaryInteger) -> Int32 {
    let kind = UInt32(truncatingIfNeeded: index)
    guard let count = device?.interruptCount(kind), count > 0 else { return -1 }
    let eventfd = cm_eventfd()
    guard eventfd >= 0, device?.signal(kind, through: [eventfd]) != 0 else { return eventfd }
    Glibc.close(eventfd)
    return -1
  }

  /// Triggers the kernel's notification of a bus error of the function.
  /// - Returns: 0, or the system's error number.
  func showBusError() -> Int32 { device?.fire(UInt32(VFIO_PCI_ERR_IRQ_INDEX)) ?? ENODEV }
}
