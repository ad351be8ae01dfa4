import EmulatedController
import Glibc
import VFIOUser

/// The client's memory.
extension Session {
  func map(_ request: DMAMap, _ descriptors: PassedDescriptors) throws(Refusal) -> Answer {
    let known: UInt32 = HostAccess.read.rawValue | HostAccess.write.rawValue
    let access = HostAccess(rawValue: request.access)
    guard request.access & ~known == 0, access.contains(.read), descriptors.count <= 1, request.length > 0,
      request.address <= .max - request.length
    else { throw Refusal(EINVAL) }
    guard dmaRegions.count < Self.mappingLimit else { throw Refusal(ENOSPC) }
    guard !dmaRegions.contains(where: { overlaps($0, request) }) else { throw Refusal(EEXIST) }
    let region = try makeRegion(for: request, access, descriptors.first)
    guard
      controller.mapMemory(
        region.base, size: region.size, at: region.address, access: access, isRemote: region.isRemote)
    else { throw Refusal(EEXIST) }
    dmaRegions.append(region)
    return Answer()
  }

  private func makeRegion(
    for request: DMAMap, _ access: HostAccess, _ descriptor: Int32?
  ) throws(Refusal) -> DMARegion {
    do throws(DMARegionError) {
      guard let descriptor else { return try DMARegion(remote: request.length, at: request.address) }
      guard PassedFile.isMemory(descriptor) else { throw refuseFile() }
      // The mapping keeps the file open.
      return try DMARegion(
        descriptor, offset: request.offset, size: request.length, at: request.address, access: access)
    } catch { throw Refusal(error.errno) }
  }

  /// Warns once with the reason, since a client may show its user only the error number.
  private func refuseFile() -> DMARegionError {
    warn(
      "the client's memory is refused: it is neither a memfd nor a file on tmpfs or hugetlbfs; with QEMU use memory-backend-memfd"
    )
    warn = { _ in }
    return DMARegionError(errno: EINVAL)
  }

  private func overlaps(_ region: DMARegion, _ request: DMAMap) -> Bool {
    region.address < request.address + request.length && request.address < region.address + region.size
  }

  func unmap(_ request: DMAUnmap) throws(Refusal) -> Answer {
    if request.flags == DMAUnmap.all, request.address == 0, request.length == 0 {
      for region in dmaRegions { controller.unmapMemory(at: region.address) }
      dmaRegions = []
      return Answer(payload: request.encoded)
    }
    guard request.flags == 0 else { throw Refusal(EINVAL) }
    let index = dmaRegions.firstIndex { $0.address == request.address && $0.size == request.length }
    guard let index else { throw Refusal(ENOENT) }
    // The controller no longer accesses the memory when this returns.
    controller.unmapMemory(at: request.address)
    dmaRegions.remove(at: index)
    return Answer(payload: request.encoded)
  }
}
