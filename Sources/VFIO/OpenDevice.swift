import CMachine
import Glibc

/// An open VFIO device: its regions, interrupts and reset, with the kernel's indices.
struct OpenDevice: ~Copyable {
  /// The device's descriptor, for region access at offsets that `Region` gives.
  let descriptor: Descriptor

  /// A range of the device that is read, written or mapped through its descriptor.
  struct Region {
    /// The size in bytes; 0 when the region does not exist.
    var size = 0
    /// Where it begins for pread, pwrite and mmap.
    var offset = 0
    /// Whether all of it may be mapped.
    var isMappable = false
  }

  init(owning number: Int32) { descriptor = Descriptor(owning: number) }

  /// Region `index`: 0...5 are the BARs, `VFIO_PCI_CONFIG_REGION_INDEX` is configuration space.
  func region(_ index: UInt32) -> Region {
    var info = vfio_region_info()
    info.argsz = UInt32(MemoryLayout.size(ofValue: info))
    info.index = index
    guard cm_ioctl(descriptor.number, cm_vfio_device_get_region_info, &info) == 0,
      let size = Int(exactly: info.size), let offset = Int(exactly: info.offset)
    else { return Region() }
    let isMappable = info.flags & UInt32(VFIO_REGION_INFO_FLAG_MMAP) != 0 && !hasHoles(info)
    return Region(size: size, offset: offset, isMappable: isMappable)
  }

  /// Whether only parts of a region may be mapped, as with old kernels, which exclude the MSI-X table.
  private func hasHoles(_ info: vfio_region_info) -> Bool {
    let room = Int(info.argsz)
    guard info.flags & UInt32(VFIO_REGION_INFO_FLAG_CAPS) != 0, room > MemoryLayout.size(ofValue: info) else {
      return false
    }
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: room, alignment: 8)
    defer { bytes.deallocate() }
    bytes.initializeMemory(as: UInt8.self, repeating: 0)
    var request = info
    request.argsz = UInt32(room)
    bytes.storeBytes(of: request, as: vfio_region_info.self)
    guard let base = bytes.baseAddress, cm_ioctl(descriptor.number, cm_vfio_device_get_region_info, base) == 0
    else {
      return true
    }
    let offset = bytes.load(as: vfio_region_info.self).cap_offset
    return InfoCapabilities(UnsafeRawBufferPointer(bytes), first: offset)
      .contains { $0.id == UInt16(VFIO_REGION_INFO_CAP_SPARSE_MMAP) }
  }

  /// Whether the device can be reset by itself.
  var canReset: Bool {
    var info = vfio_device_info()
    info.argsz = UInt32(MemoryLayout.size(ofValue: info))
    return cm_ioctl(descriptor.number, cm_vfio_device_get_info, &info) == 0
      && info.flags & UInt32(VFIO_DEVICE_FLAGS_RESET) != 0
  }

  /// Resets the device.
  /// - Returns: 0, or the system's error number.
  func reset() -> Int32 { cm_ioctl_number(descriptor.number, cm_vfio_device_reset, 0) == 0 ? 0 : errno }

  /// How many interrupts the kind `index` (`VFIO_PCI_MSIX_IRQ_INDEX`, …) has.
  func interruptCount(_ index: UInt32) -> Int {
    var info = vfio_irq_info()
    info.argsz = UInt32(MemoryLayout.size(ofValue: info))
    info.index = index
    guard cm_ioctl(descriptor.number, cm_vfio_device_get_irq_info, &info) == 0,
      info.flags & UInt32(VFIO_IRQ_INFO_EVENTFD) != 0
    else { return 0 }
    return Int(info.count)
  }

  /// Has the kernel signal the first interrupt of the kind `index`, as if it had occurred.
  /// - Returns: 0, or the system's error number.
  func fire(_ index: UInt32) -> Int32 {
    var request = vfio_irq_set()
    request.argsz = UInt32(MemoryLayout<vfio_irq_set>.size)
    request.flags = UInt32(VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER)
    request.index = index
    request.count = 1
    return cm_ioctl(descriptor.number, cm_vfio_device_set_irqs, &request) == 0 ? 0 : errno
  }

  /// Connects interrupts `0..<eventfds.count` of the kind `index` to eventfds, one each; an empty array turns
  /// the kind off.
  /// - Returns: 0, or the system's error number.
  func signal(_ index: UInt32, through eventfds: [Int32]) -> Int32 {
    let fixed = MemoryLayout<vfio_irq_set>.size
    let bytes = UnsafeMutableRawBufferPointer.allocate(
      byteCount: fixed + eventfds.count * MemoryLayout<Int32>.size, alignment: 8)
    defer { bytes.deallocate() }
    guard let base = bytes.baseAddress else { return ENOMEM }
    var request = vfio_irq_set()
    request.argsz = UInt32(bytes.count)
    let data = eventfds.isEmpty ? VFIO_IRQ_SET_DATA_NONE : VFIO_IRQ_SET_DATA_EVENTFD
    request.flags = UInt32(data | VFIO_IRQ_SET_ACTION_TRIGGER)
    request.index = index
    request.start = 0
    request.count = UInt32(eventfds.count)
    bytes.storeBytes(of: request, as: vfio_irq_set.self)
    for (number, eventfd) in eventfds.enumerated() {
      bytes.storeBytes(of: eventfd, toByteOffset: fixed + number * MemoryLayout<Int32>.size, as: Int32.self)
    }
    return cm_ioctl(descriptor.number, cm_vfio_device_set_irqs, base) == 0 ? 0 : errno
  }
}
