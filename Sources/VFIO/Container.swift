import CMachine
import Glibc
import PCI
import SystemFiles

/// A VFIO container: the IOMMU mappings of the groups in it, type 1 version 2.
struct Container: ~Copyable {
  private let descriptor: Descriptor
  private let name: String
  private var space: AddressSpace

  /// Opens a container and puts a group into it.
  /// - Throws: `FunctionError` when VFIO is not there, may not be used, or the IOMMU is not suitable.
  init(for group: borrowing Group, of name: String, in tree: SystemTree) throws(FunctionError) {
    let path = "\(tree.dev)/vfio/vfio"
    let number = open(path, O_RDWR | O_CLOEXEC)
    guard number >= 0 else { throw Self.openError(path, code: errno) }
    let descriptor = Descriptor(owning: number)
    guard cm_ioctl_number(number, cm_vfio_get_api_version, 0) == VFIO_API_VERSION,
      cm_ioctl_number(number, cm_vfio_check_extension, UInt(VFIO_TYPE1v2_IOMMU)) == 1
    else {
      throw FunctionError(
        "\(path) does not offer the type 1 (version 2) IOMMU interface",
        remedy: "load it with: sudo modprobe vfio_iommu_type1")
    }
    try group.join(number)
    guard cm_ioctl_number(number, cm_vfio_set_iommu, UInt(VFIO_TYPE1v2_IOMMU)) == 0 else {
      throw Self.attachError(name, code: errno)
    }
    let (ranges, pageSizes) = try Self.readLimits(number, name)
    // The smallest page of the IOMMU is the granule of a mapping.
    let granule = UInt64(1) << UInt64(pageSizes.trailingZeroBitCount & 63)
    guard pageSizes != 0, granule <= UInt64(DMAArena.frameSize) else {
      throw FunctionError("the IOMMU of \(name) maps no pages as small as \(DMAArena.frameSize) bytes")
    }
    self.descriptor = descriptor
    self.name = name
    space = AddressSpace(ranges: ranges, granule: UInt64(DMAArena.frameSize))
  }

  /// Makes `size` bytes at `base` reachable for the device. The pages stay in memory until `unmap`.
  /// - Returns: their address for the device.
  mutating func map(_ base: UnsafeMutableRawPointer, _ size: Int) throws(FunctionError) -> UInt64 {
    // Where both sides are aligned to a large page, the IOMMU can use one.
    let largePage: UInt64 = 2 << 20
    let alignment = UInt64(size) >= largePage ? largePage : UInt64(DMAArena.frameSize)
    guard let address = space.allocate(UInt64(size), alignment: alignment) else {
      throw FunctionError("the IOMMU of \(name) has no \(size) bytes of addresses left", errno: ENOSPC)
    }
    var request = vfio_iommu_type1_dma_map()
    request.argsz = UInt32(MemoryLayout.size(ofValue: request))
    request.flags = UInt32(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)
    request.vaddr = UInt64(UInt(bitPattern: base))
    request.iova = address
    request.size = UInt64(size)
    guard cm_ioctl(descriptor.number, cm_vfio_iommu_map_dma, &request) == 0 else {
      let code = errno
      space.release(address, UInt64(size))
      throw Self.mapError(name, size, code: code)
    }
    return address
  }

  /// Removes a mapping made by `map`.
  mutating func unmap(_ address: UInt64, _ size: Int) {
    var request = vfio_iommu_type1_dma_unmap()
    request.argsz = UInt32(MemoryLayout.size(ofValue: request))
    request.iova = address
    request.size = UInt64(size)
    // Addresses that the kernel did not unmap are never used again.
    guard cm_ioctl(descriptor.number, cm_vfio_iommu_unmap_dma, &request) == 0 else { return }
    space.release(address, UInt64(size))
  }

  /// Reads the IOMMU's valid addresses and page sizes (a bit each).
  private static func readLimits(
    _ descriptor: Int32, _ name: String
  ) throws(FunctionError) -> (ranges: [ClosedRange<UInt64>], pageSizes: UInt64) {
    var info = vfio_iommu_type1_info()
    info.argsz = UInt32(MemoryLayout.size(ofValue: info))
    guard cm_ioctl(descriptor, cm_vfio_iommu_get_info, &info) == 0 else {
      throw FunctionError("the IOMMU of \(name) does not describe itself", errno: errno)
    }
    // The kernel returns the size of the capabilities; a second call with that size returns them.
    let room = max(Int(info.argsz), MemoryLayout.size(ofValue: info))
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: room, alignment: 8)
    defer { bytes.deallocate() }
    bytes.initializeMemory(as: UInt8.self, repeating: 0)
    bytes.storeBytes(of: UInt32(room), as: UInt32.self)
    guard let base = bytes.baseAddress, cm_ioctl(descriptor, cm_vfio_iommu_get_info, base) == 0 else {
      throw FunctionError("the IOMMU of \(name) does not describe itself", errno: errno)
    }
    info = bytes.load(as: vfio_iommu_type1_info.self)
    var ranges: [ClosedRange<UInt64>] = []
    if info.flags & UInt32(VFIO_IOMMU_INFO_CAPS) != 0 {
      for capability in InfoCapabilities(UnsafeRawBufferPointer(bytes), first: info.cap_offset)
      where capability.id == UInt16(VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE) {
        ranges = addressRanges(capability.bytes)
      }
    }
    guard !ranges.isEmpty else {
      throw FunctionError(
        "the kernel does not say which addresses the IOMMU of \(name) takes", remedy: "use Linux 5.4 or newer"
      )
    }
    return (ranges, info.iova_pgsizes)
  }

  /// The ranges in a `vfio_iommu_type1_info_cap_iova_range`.
  static func addressRanges(_ bytes: UnsafeRawBufferPointer) -> [ClosedRange<UInt64>] {
    let fixed = MemoryLayout<vfio_iommu_type1_info_cap_iova_range>.size
    let each = MemoryLayout<vfio_iova_range>.size
    guard bytes.count >= fixed else { return [] }
    let count = bytes.loadUnaligned(as: vfio_iommu_type1_info_cap_iova_range.self).nr_iovas
    return (0..<min(Int(count), (bytes.count - fixed) / each)).compactMap { index in
      let range = bytes.loadUnaligned(fromByteOffset: fixed + index * each, as: vfio_iova_range.self)
      return range.start <= range.end ? range.start...range.end : nil
    }
  }
}

// The errors, with their remedies.
extension Container {
  private static func openError(_ path: String, code: Int32) -> FunctionError {
    switch code {
    case ENOENT, ENODEV, ENXIO:
      FunctionError(
        "VFIO is not there (no \(path))", remedy: "load it with: sudo modprobe vfio-pci", errno: code)
    case EACCES, EPERM:
      FunctionError(
        "no permission to open \(path)", remedy: "allow it with: sudo chmod a+rw \(path)", errno: code)
    default:
      FunctionError("\(path) cannot be opened", errno: code)
    }
  }

  private static func attachError(_ name: String, code: Int32) -> FunctionError {
    guard code == EPERM else {
      return FunctionError("the IOMMU cannot be used for \(name)", errno: code)
    }
    return FunctionError(
      "the IOMMU of \(name) does not remap interrupts, so the kernel does not let a process have the device",
      remedy: "turn interrupt remapping on in the firmware, or, trusting the device: "
        + "echo 1 | sudo tee /sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts",
      errno: code)
  }

  private static func mapError(_ name: String, _ size: Int, code: Int32) -> FunctionError {
    var limit = rlimit()
    getrlimit(__rlimit_resource_t(__RLIMIT_MEMLOCK.rawValue), &limit)
    switch code {
    case ENOMEM where limit.rlim_cur != rlim_t.max:
      return FunctionError(
        "\(name): \(size) bytes cannot be locked in memory for DMA, the limit is \(limit.rlim_cur) (RLIMIT_MEMLOCK)",
        remedy: "raise it with: ulimit -l unlimited, or LimitMEMLOCK=infinity in a systemd unit", errno: code)
    case ENOSPC:
      return FunctionError(
        "\(name): the kernel allows no more DMA mappings",
        remedy: "raise /sys/module/vfio_iommu_type1/parameters/dma_entry_limit", errno: code)
    default:
      return FunctionError(
        "\(name): \(size) bytes cannot be mapped for DMA", remedy: "free some memory", errno: code)
    }
  }
}
